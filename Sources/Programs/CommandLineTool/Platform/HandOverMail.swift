// SPDX-License-Identifier: Apache-2.0

import Dispatch
import GatewayService
import Glibc
import ProcessControl
import Synchronization

/// Clients' connections on their way to a successor, one after another.
///
/// The successor reads all the time; where it does not any more the rest is closed.
final class HandOverMail: Sendable {
    private let successor: MessageSocket
    private let queue = DispatchQueue(label: "martlet.hand-over")
    private let lostSoFar = Mutex(0)

    /// `patience` is how long the successor may stop reading, in milliseconds.
    init(to successor: MessageSocket, patience: Int32 = HandOverProtocol.patience) {
        self.successor = successor
        successor.limitSending(to: patience)
    }

    /// Sends a connection, which is the mail's to close, as soon as those before it are sent.
    func send(_ connection: CInt, of role: ListenerRole) {
        queue.async { [self] in
            let message = MessageSocket.Message("\(HandOverProtocol.connection) \(role.rawValue)", [connection])
            // One that does not read is not waited for a second time.
            let isSent = lostSoFar.withLock { $0 } == 0 && successor.send(message)
            if !isSent { lostSoFar.withLock { $0 += 1 } }
            close(connection)
        }
    }

    /// Waits until all that were given before are sent; returns how many of them were not.
    func lost() async -> Int {
        await withCheckedContinuation { continuation in
            queue.async { [self] in continuation.resume(returning: lostSoFar.withLock { $0 }) }
        }
    }
}
