// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import NIOCore
import ProviderContract

/// What the engine's event loops are made ready of.
struct EngineParts: Sendable {
    let settings: EngineSettings
    let table: RoutingTable
    let responder: any LocalResponder
    let ledger: (any InvocationLedger)?
    let bodies: BodyBudget

    init(
        settings: EngineSettings,
        table: RoutingTable,
        responder: any LocalResponder,
        ledger: (any InvocationLedger)?
    ) {
        self.settings = settings
        self.table = table
        self.responder = responder
        self.ledger = ledger
        bodies = BodyBudget(memory: settings.bodyMemory, disk: settings.bodyDisk, folder: settings.bodyFolder)
    }
}

/// The engine on one event loop, confined to it: no locks, no hops.
final class LoopParts {
    let loopContext: LoopContext
    let functions: FunctionDirectory
    let calls: CallContext
    let connections: ConnectionRegistry
    let directCalls: DirectPool

    init(loop: any EventLoop, _ engine: EngineParts) {
        let settings = engine.settings
        loopContext = LoopContext(loop: loop, limits: EngineLimits(settings), servedBy: settings.servedBy)
        functions = FunctionDirectory(
            settings.profile,
            defaultNamespace: engine.table.defaultNamespace,
            ledger: engine.ledger,
            admission: settings.admission,
            origins: settings.origins
        )
        calls = CallContext(
            settings.profile,
            functions,
            observer: settings.accessLog,
            bodies: engine.bodies,
            isOwnLogin: settings.isOwnLogin
        )
        connections = ConnectionRegistry(
            loop: loop,
            responder: engine.responder,
            intake: settings.intake.map { IntakeDesk($0, loop: loop) },
            health: settings.health
        )
        directCalls = DirectPool(loopContext, calls)
    }
}

/// A way to the engine on an event loop from anywhere.
struct LoopHandle: Sendable, RouteFollower {
    let loop: any EventLoop
    private let parts: NIOLoopBoundBox<LoopParts?>

    /// Makes a way to what is not there yet.
    init(loop: any EventLoop) {
        self.loop = loop
        parts = NIOLoopBoundBox<LoopParts?>.makeEmptyBox(valueType: LoopParts.self, eventLoop: loop)
    }

    /// Makes the loop's part of the engine, on the loop.
    func open(_ engine: EngineParts, _ siblings: [LoopHandle]) {
        let (loop, parts) = (loop, parts)
        loop.execute {
            let made = LoopParts(loop: loop, engine)
            made.loopContext.closeIdleElsewhere = { replica in
                for sibling in siblings { sibling.run { $0.functions.closeIdleConnections(to: replica) } }
            }
            parts.value = made
        }
    }

    /// Gives a new connection its handler.
    func welcome(_ channel: any Channel, _ offer: ListenerOffer) -> EventLoopFuture<Void> {
        let parts = parts
        return channel.eventLoop.makeCompletedFuture {
            guard let parts = parts.value else { throw ChannelError.inappropriateOperationForState }
            try offer.prepare?(channel)
            let connection = HTTP1Connection(parts.loopContext, parts.calls, parts.connections, offer)
            try channel.pipeline.syncOperations.addHandler(connection)
        }
    }

    /// Begins a direct call on the event loop, behind all changes of routes that it was told of before.
    func begin(_ call: DirectCall) {
        run { call.begin(in: $0.directCalls) }
    }

    // MARK: Routes

    func change(_ route: FunctionRoute, _ queue: AdmissionQueue, _ queues: [AdmissionQueue]) {
        run { $0.functions.change(route, queue, queues) }
    }

    func remove(_ id: FunctionID) {
        run { $0.functions.remove(id) }
    }

    func noteSnapshot() {
        run { $0.functions.noteSnapshot() }
    }

    /// Fails to wait only while the event loops are being shut down.
    func settle() async {
        try? await submit { _ in }.get()
    }

    // MARK: Anything

    /// Runs on the event loop, in the order of the calls.
    func run(_ work: @escaping @Sendable (LoopParts) -> Void) {
        let parts = parts
        loop.execute {
            // Always there: it was asked for before anything that is done with it.
            if let parts = parts.value { work(parts) }
        }
    }

    /// Runs on the event loop and brings a result back.
    func submit<Value: Sendable>(
        _ work: @escaping @Sendable (LoopParts) throws -> Value
    ) -> EventLoopFuture<Value> {
        let loop = loop
        return flatSubmit { parts in loop.makeCompletedFuture { try work(parts) } }
    }

    /// Runs on the event loop what ends later.
    func flatSubmit<Value: Sendable>(
        _ work: @escaping @Sendable (LoopParts) -> EventLoopFuture<Value>
    ) -> EventLoopFuture<Value> {
        let (loop, parts) = (loop, parts)
        return loop.flatSubmit {
            parts.value.map(work) ?? loop.makeFailedFuture(ChannelError.inappropriateOperationForState)
        }
    }
}
