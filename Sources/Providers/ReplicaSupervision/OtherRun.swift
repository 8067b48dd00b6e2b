// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Another run on the same data directory, where one takes the other's place: both have functions for a while, on the same
/// ports where these are fixed, with the same bundles and in the same folders of logs.
package final class OtherRun: Sendable {
    private let state: Mutex<(isEnding: Bool, hasBegun: Bool)>

    init(isEnding: Bool) { state = Mutex((isEnding, false)) }

    /// Whether the run before still has functions, which end with their calls.
    package var isEnding: Bool { state.withLock { $0.isEnding } }

    /// Whether the run before or the one after has functions now.
    package var isThere: Bool { state.withLock { $0.isEnding || $0.hasBegun } }

    /// The run before is gone.
    func ended() { state.withLock { $0.isEnding = false } }

    /// The run after begins.
    func begins() { state.withLock { $0.hasBegun = true } }
}
