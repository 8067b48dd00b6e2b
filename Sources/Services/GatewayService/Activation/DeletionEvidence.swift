// SPDX-License-Identifier: Apache-2.0

import ProviderContract
import Synchronization

/// Decides when it is sure that a function does not exist of which a provider has not told since the start.
///
/// One list alone is no evidence: a provider that has just been started may not know its functions yet. It is sure when
/// contact has been held for a while since all functions were told; from then on a function that is not known was
/// removed, for which the provider had evidence.
final class DeletionEvidence: Sendable {
    private struct State {
        var hasSnapshot = false
        var isHeld = false
        var isSure = false
        /// Counts spans of contact.
        var span = 0
    }

    /// How long contact has to be held.
    static let length = Duration.seconds(10)
    private let clock: any Clock<Duration>
    private let state = Mutex(State())

    init(clock: any Clock<Duration> = ContinuousClock()) { self.clock = clock }

    /// Whether an unknown function does not exist.
    var isSure: Bool { state.withLock { $0.isSure } }

    /// Takes note of what a provider told; returns the number of a span of contact that begins with it.
    func note(_ update: RouteUpdate) -> Int? {
        state.withLock { state in
            switch update {
            case .changed, .removed: return nil
            case .snapshot: state.hasSnapshot = true
            case .heardAgain: break
            case .lost:
                state.isHeld = false
                state.span += 1
                return nil
            }
            guard state.hasSnapshot, !state.isHeld, !state.isSure else { return nil }
            state.isHeld = true
            return state.span
        }
    }

    /// Waits until a span has been long enough; false where contact was lost before, or the task is cancelled.
    func isHeld(_ span: Int) async -> Bool {
        guard (try? await clock.sleep(for: Self.length)) != nil else { return false }
        return state.withLock { state in
            guard state.span == span else { return false }
            state.isSure = true
            return true
        }
    }
}
