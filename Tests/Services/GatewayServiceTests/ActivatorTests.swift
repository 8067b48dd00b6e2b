// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import InvocationEngine
import Logging
import NIOCore
import NIOPosix
import ProviderConformance
import ProviderContract
import Synchronization
import TestSupport
import Testing

@testable import GatewayService

/// Calls that wait for a function to be started.
struct ActivatorTests {
    private let clock = ManualClock()
    private static let id = FunctionID(name: "fn", namespace: NameRule.defaultNamespace)

    @Test func `a provider that accepts and stays at 0 is asked again until the last call has given up`() async throws {
        let provider = InMemoryProvider()
        try await provider.create(FunctionDeployment(service: "fn", image: "never-woken", envProcess: "cat"))
        try await provider.scale(Self.id, to: 0)
        let (table, needs) = Activator.table(defaultNamespace: NameRule.defaultNamespace)
        let activator = Activator(provider: provider, table: table, needs: needs, logger: .none, clock: clock)
        let door = FrontDoor(
            group: .singletonMultiThreadedEventLoopGroup,
            settings: EngineSettings(servedBy: "martlet/test"),
            table: table,
            responder: NoResponder()
        )
        for await update in provider.watch() {
            table.apply(update)
            break
        }
        let running = Task { await activator.run() }
        let ends = Mutex(0)
        let calls = (0..<2).map { _ in door.call(Self.request) { _ in ends.withLock { $0 += 1 } } }
        for (count, pause) in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 15), (6, 15)] {
            #expect(await eventually { await provider.wakes == count && clock.sleepers == [.seconds(pause)] })
            if count == 3 { calls[0].cancel() }
            if count == 6 { calls[1].cancel() }
            if count == 6 { #expect(await eventually { ends.withLock { $0 } == 2 }) }
            clock.advance(by: .seconds(pause))
        }
        #expect(await eventually { clock.sleepers.isEmpty })
        #expect(await provider.wakes == 6, "nobody waits any more")
        let late = door.call(Self.request) { _ in ends.withLock { $0 += 1 } }
        #expect(await eventually { await provider.wakes == 7 }, "but the next call asks anew")
        late.cancel()
        running.cancel()
        await running.value
    }

    private static let single: ProviderCapabilities = {
        var single = InMemoryProvider.usual
        single.behaviours.runsSeveralReplicas = false
        return single
    }()

    @Test(arguments: [(InMemoryProvider.usual, 3), (single, 1)])
    func `as many replicas are woken as the function has at least, or as the provider can have`(
        abilities: ProviderCapabilities,
        expected: Int
    ) async throws {
        let provider = InMemoryProvider(abilities: abilities)
        let labels = ["com.openfaas.scale.min": "3"]
        try await provider.create(FunctionDeployment(service: "fn", image: "any", envProcess: "cat", labels: labels))
        try await provider.scale(Self.id, to: 0)
        let (table, needs) = Activator.table(defaultNamespace: NameRule.defaultNamespace)
        let activator = Activator(provider: provider, table: table, needs: needs, logger: .none, clock: clock)
        let door = FrontDoor(
            group: .singletonMultiThreadedEventLoopGroup,
            settings: EngineSettings(servedBy: "martlet/test"),
            table: table,
            responder: NoResponder()
        )
        for await update in provider.watch() {
            table.apply(update)
            break
        }
        let running = Task { await activator.run() }
        let call = door.call(Self.request) { _ in }
        #expect(await eventually { await provider.wakes == 1 })
        #expect(try await provider.function(Self.id, includingUsage: false).replicas == expected)
        // Another gateway was faster: asking again leaves what it has asked for.
        if expected > 1 {
            try await provider.scale(Self.id, to: 5)
            #expect(await clock.pass(.seconds(1)))
            #expect(await eventually { await provider.wakes == 2 })
            #expect(try await provider.function(Self.id, includingUsage: false).replicas == 5)
        }
        call.cancel()
        running.cancel()
        await running.value
    }

    private static var request: DirectRequest {
        DirectRequest(
            function: id,
            method: "GET",
            target: "",
            fields: ByteBuffer(string: "Host: gateway\r\n"),
            body: ByteBuffer(),
            clientAddress: "127.0.0.1",
            callID: "call",
            answerLimit: 1024
        )
    }
}

extension Logger {
    fileprivate static var none: Logger { Logger(label: "none") { _ in SwiftLogNoOpLogHandler() } }
}

private struct NoResponder: LocalResponder {
    func respond(to request: LocalRequest, body: LocalRequestBody, writer: any LocalResponseWriter) async {}
}
