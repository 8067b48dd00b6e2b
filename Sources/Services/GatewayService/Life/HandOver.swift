// SPDX-License-Identifier: Apache-2.0

public import FunctionModel
import Glibc
import InvocationEngine
import InvocationWorker
import SystemAPI

/// What of a gateway goes over to a program that takes its place, in steps that whoever hands over takes in this order.
public struct HandOver: Sendable {
    /// A socket that listens, and whose it is.
    public typealias Listening = (role: ListenerRole, socket: CInt)

    let doors: Doors
    let worker: InvocationWorker?
    private let streams: EndlessAnswers
    /// How long requests that the platform itself answers may take to end.
    private static let patience = Duration.milliseconds(500)

    init(_ doors: Doors, _ worker: InvocationWorker?, _ streams: EndlessAnswers) {
        self.doors = doors
        self.worker = worker
        self.streams = streams
    }

    /// The sockets that listen, which are the caller's to close.
    public func listeners() async -> [Listening] {
        known(await doors.engine.copiesOfListeners() + doors.questions.copiesOfListeners())
    }

    /// Stops accepting.
    ///
    /// On the sockets, which are the caller's to close, clients wait until somebody accepts again.
    public func stopListening() async -> [Listening] {
        known(await doors.engine.stopListening() + doors.questions.stopListening())
    }

    private func known(_ sockets: [(offer: ListenerOffer, socket: CInt)]) -> [Listening] {
        sockets.compactMap { offer, socket in doors.door(offer).map { ($0.listener.role, socket) } }
    }

    /// Accepts again on sockets that nobody else accepts on, and which are the gateway's again.
    public func takeBack(_ listeners: [Listening]) async throws {
        for listener in listeners {
            guard let door = doors.door(listener.role) else { continue }
            _ = try await door.front.listen(on: listener.socket, offer: door.offer)
        }
    }

    /// Gives away connections that have nothing to do, from now on; returns when none is answered any more by what a
    /// successor needs, or after half a second.
    ///
    /// Whoever follows something is told that it ends, so that it asks the successor. Asynchronous calls that have not ended
    /// by then are given back to the queue. `take` closes what it is given.
    public func letGo(_ take: @escaping @Sendable (ListenerRole, CInt) -> Void) async {
        streams.end()
        doors.files.leave()
        let fronts = [doors.engine, doors.questions]
        for front in fronts {
            await front.handOn { [doors] offer, socket in
                // Each connection came in by one of the doors.
                if let door = doors.door(offer) { take(door.listener.role, socket) } else { close(socket) }
            }
        }
        await withDiscardingTaskGroup { group in
            for front in fronts { group.addTask { await front.ownRequestsEnd(within: Self.patience) } }
            if let worker { group.addTask { await worker.stop(within: Self.patience) } }
        }
    }

    /// Which of some functions have no call, neither in flight nor waiting nor still on its way here.
    public func idle(_ functions: [FunctionID]) async -> [FunctionID] {
        // Fails only while the event loops are being shut down.
        guard let activity = try? await doors.engine.activity(of: functions) else { return [] }
        return functions.filter { activity[$0, default: FunctionActivity()].inFlight == 0 }
    }

    /// Goes on with a connection of the program before.
    public func adopt(_ socket: CInt, of role: ListenerRole) async throws {
        guard let door = doors.door(role) else {
            close(socket)
            return
        }
        try await door.front.adopt(socket, offer: door.offer)
    }
}
