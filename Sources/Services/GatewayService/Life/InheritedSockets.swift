// SPDX-License-Identifier: Apache-2.0

import Glibc
import ProcessControl
import Synchronization

/// Listening sockets that were there before this program: those of the one that it replaces, or the service manager's.
///
/// Each is taken once; those that nobody took are closed with this.
public final class InheritedSockets: Sendable {
    private let sockets: Mutex<[ListenerRole: CInt]>

    /// Owns sockets from now on.
    public init(_ sockets: [ListenerRole: CInt]) { self.sockets = Mutex(sockets) }

    deinit {
        for socket in sockets.withLock({ $0.values }) { close(socket) }
    }

    /// The socket of a listener, if it listens on the port that is asked for; 0 asks for any.
    ///
    /// One on another port is closed: the settings have changed.
    func take(_ role: ListenerRole, port: Int) -> CInt? {
        guard let socket = sockets.withLock({ $0.removeValue(forKey: role) }) else { return nil }
        if port == 0 || SocketName.port(of: socket) == port { return socket }
        close(socket)
        return nil
    }
}
