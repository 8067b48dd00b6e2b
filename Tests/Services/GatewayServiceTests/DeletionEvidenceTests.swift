// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import InvocationEngine
import InvocationWorker
import Logging
import NIOPosix
import ProviderConformance
import ProviderContract
import QueueConformance
import QueueContract
import ServiceLifecycle
import TestSupport
import Testing

@testable import GatewayService

/// When it is sure that a function does not exist.
struct DeletionEvidenceTests {
    private let clock = ManualClock()
    private let evidence: DeletionEvidence
    private static let fault = PlatformFault(.providerUnreachable, "There is no answer.")

    init() { evidence = DeletionEvidence(clock: clock) }

    @Test func `one list is no evidence, but contact that was held for 10 s behind it is`() async throws {
        #expect(evidence.note(.heardAgain) == nil)
        let span = try #require(evidence.note(.snapshot([])))
        #expect(evidence.note(.snapshot([])) == nil, "it is held already")
        async let isHeld = evidence.isHeld(span)
        #expect(!evidence.isSure)
        #expect(await clock.pass(.seconds(10)))
        #expect(await isHeld)
        #expect(evidence.isSure)
    }

    @Test func `contact that was lost meanwhile has to be held anew`() async throws {
        let first = try #require(evidence.note(.snapshot([])))
        async let isHeld = evidence.isHeld(first)
        #expect(await eventually { !clock.sleepers.isEmpty })
        #expect(evidence.note(.lost(Self.fault)) == nil)
        let second = try #require(evidence.note(.heardAgain))
        #expect(await clock.pass(.seconds(10)))
        #expect(await !isHeld)
        #expect(!evidence.isSure)
        async let isHeldAgain = evidence.isHeld(second)
        #expect(await clock.pass(.seconds(10)))
        #expect(await isHeldAgain)
    }

    @Test func `a provider that begins with an empty list ends no waiting call`() async throws {
        let (queue, provider) = (MemoryQueue(), InMemoryProvider())
        let function = FunctionID(name: "fn", namespace: NameRule.defaultNamespace)
        _ = try await queue.accept(NewCall(function: function, callID: "waits", start: .after(.seconds(3600))))
        let work = work(provider, queue)
        try await running(work) {
            #expect(await eventually { clock.sleepers.contains(.seconds(10)) })
            try await provider.create(FunctionDeployment(service: "fn", image: "never-ready", envProcess: "cat"))
            provider.loseContact(Self.fault)
            #expect(await eventually { work.table.loss != nil && work.table.contains(function) })
            #expect(await queue.counts().total.dead == 0)
            provider.hearAgain()
            try await provider.delete(function)
            #expect(await eventually { await queue.counts().total.dead == 1 }, "but its word does")
        }
    }

    @Test func `calls of functions that were deleted while nobody looked end when that is sure`() async throws {
        let queue = MemoryQueue()
        let function = FunctionID(name: "gone", namespace: NameRule.defaultNamespace)
        _ = try await queue.accept(NewCall(function: function, callID: "waits"))
        try await running(work(InMemoryProvider(), queue)) {
            #expect(await clock.pass(.seconds(10)))
            #expect(await eventually { await queue.counts().total.dead == 1 })
        }
    }

    /// Runs what works behind a gateway's doors while a test looks at it.
    private func running(_ work: GatewayWork, _ test: () async throws -> Void) async throws {
        let group = ServiceGroup(services: work.services, logger: Self.logger)
        let running = Task { try await group.run() }
        try await test()
        await group.triggerGracefulShutdown()
        _ = await running.result
    }

    private static let logger = Logger(label: "gateway") { _ in SwiftLogNoOpLogHandler() }

    private func work(_ provider: any FunctionProvider, _ queue: any CallQueue) -> GatewayWork {
        let settings = Gateway.Settings(
            listeners: [],
            defaultNamespace: NameRule.defaultNamespace,
            version: ProviderInfo.Version(release: "test", sha: "test"),
            authenticator: nil,
            engine: EngineSettings(servedBy: "martlet/test")
        )
        let asynchrony = Gateway.Asynchrony(
            queue: queue,
            worker: WorkerSettings(defaultNamespace: NameRule.defaultNamespace, userAgent: "test"),
            bodyLimit: 1024
        )
        let setting = GatewaySetting(
            settings,
            provider,
            nil,
            asynchrony,
            Stopping(limit: .zero),
            MultiThreadedEventLoopGroup.singleton,
            Self.logger,
            clock
        )
        return GatewayWork(setting, Gateway.Scaling(isOn: false))
    }
}
