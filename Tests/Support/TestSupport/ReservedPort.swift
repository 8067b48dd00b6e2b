// SPDX-License-Identifier: Apache-2.0

import ProcessControl

/// Ports that a test has for itself before anybody listens on them, between two who listen, and after the last.
///
/// One that the system chose (port 0) is anybody's again as soon as its listener is gone.
public enum ReservedPort {
    /// No port can be had.
    public struct NoneLeft: Error {}

    private static let pool = PortPool()

    /// A loopback port below those the system chooses from, which nobody who asks a `PortPool` is given while this
    /// process lives.
    public static func claim() throws -> Int {
        guard let port = pool.claim() else { throw NoneLeft() }
        return port
    }
}
