// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import InvocationEngine
import NIOPosix
import ProviderContract
import TestSupport

/// An engine whose only function, `fn`, is a scripted server.
final class CalledFunction: Sendable {
    private let origin: ScriptedOrigin
    private let door: FrontDoor

    init(answer: @escaping @Sendable (String) -> [ScriptedOrigin.Step]) async throws {
        origin = try await ScriptedOrigin(answer: answer)
        let table = RoutingTable { _, _ in }
        door = FrontDoor(
            group: .singletonMultiThreadedEventLoopGroup,
            settings: EngineSettings(servedBy: "martlet/test"),
            table: table,
            responder: NoResponder()
        )
        let replica = Replica(
            id: "fn-1",
            target: Upstream(.tcp(host: "127.0.0.1", port: origin.port)),
            maxInFlight: nil
        )
        let function = FunctionID(name: "fn", namespace: "openfaas-fn")
        table.apply(.snapshot([FunctionRoute(id: function, revision: 1, desiredReplicas: 1, replicas: [replica])]))
    }

    func call(_ request: DirectRequest, done: @escaping @Sendable (DirectAnswer) -> Void) -> DirectCall {
        door.call(request, done: done)
    }

    func nextRequest() async -> String { await origin.nextRequest() }
}

/// Nothing but functions is asked for.
private struct NoResponder: LocalResponder {
    func respond(to request: LocalRequest, body: LocalRequestBody, writer: any LocalResponseWriter) async {}
}
