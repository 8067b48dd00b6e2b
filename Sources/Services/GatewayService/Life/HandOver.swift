// SPDX-License-Identifier: Apache-2.0

import Glibc
import InvocationEngine
import InvocationWorker

/// What of a gateway goes over to a program that takes its place, in steps that whoever hands over takes in this order.
public struct HandOver: Sendable {
    /// A socket that listens, and what is behind it.
    public typealias Listener = (surface: Gateway.Surface, socket: CInt)

    let doors: [Door]
    let worker: InvocationWorker?
    /// How long requests that the platform itself answers may take to end.
    private static let patience = Duration.milliseconds(500)

    init(_ doors: [Door], _ worker: InvocationWorker?) {
        self.doors = doors
        self.worker = worker
    }

    /// The sockets that listen, which are the caller's to close.
    public func listeners() async -> [Listener] {
        var listeners: [Listener] = []
        for door in doors {
            for socket in await door.front.copiesOfListeners() { listeners.append((door.surface, socket)) }
        }
        return listeners
    }

    /// Stops accepting.
    ///
    /// On the sockets, which are the caller's to close, clients wait until somebody accepts again.
    public func stopListening() async -> [Listener] {
        var listeners: [Listener] = []
        for door in doors {
            for socket in await door.front.stopListening() { listeners.append((door.surface, socket)) }
        }
        return listeners
    }

    /// Accepts again on sockets that nobody else accepts on, and which are the gateway's again.
    public func takeBack(_ listeners: [Listener]) async throws {
        for listener in listeners {
            guard let door = doors.first(where: { $0.surface == listener.surface }) else { continue }
            _ = try await door.front.listen(on: listener.socket, prepare: door.prepare)
        }
    }

    /// Gives away connections that have nothing to do, from now on; returns when none is answered any more by what a
    /// successor needs, or after half a second.
    ///
    /// Asynchronous calls that have not ended by then are given back to the queue. `take` closes what it is given.
    public func letGo(_ take: @escaping @Sendable (Gateway.Surface, CInt) -> Void) async {
        for door in doors {
            let surface = door.surface
            await door.front.handOn { take(surface, $0) }
        }
        await withDiscardingTaskGroup { group in
            for door in doors { group.addTask { await door.front.ownRequestsEnd(within: Self.patience) } }
            if let worker { group.addTask { await worker.stop(within: Self.patience) } }
        }
    }

    /// Goes on with a connection of the program before.
    public func adopt(_ socket: CInt, of surface: Gateway.Surface) async throws {
        guard let door = doors.first(where: { $0.surface == surface }) else {
            close(socket)
            return
        }
        try await door.front.adopt(socket, prepare: door.prepare)
    }
}
