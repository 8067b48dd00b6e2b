// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import ProviderContract
import RemoteProvider
import Synchronization
import SystemClient
import TestSupport
import Testing

/// What a follower is told of a provider elsewhere that is not heard, or that tells less than before.
struct RemoteContactTests {
    private let clock = ManualClock()

    /// What the provider's list has, and what it was asked.
    private final class Scene: Sendable {
        let functions = Mutex<[String]>([])
        let isThere = Mutex(true)
        let lists = Mutex(0)
        let watches = Mutex(0)
    }

    private let scene = Scene()

    private func remote(
        _ answer: @escaping @Sendable (String) -> [ScriptedOrigin.Step]
    ) async throws -> (ScriptedOrigin, HTTPFunctionProvider) {
        let origin = try await ScriptedOrigin(answer: answer)
        let client = SystemClient(
            baseURL: "http://127.0.0.1:\(origin.port)",
            login: nil,
            http: RunningMartlet.http,
            clock: clock
        )
        return (origin, try HTTPFunctionProvider(client: client, clock: clock))
    }

    /// A plain OpenFaaS provider, which is asked for its list again and again.
    private func plain() async throws -> (ScriptedOrigin, HTTPFunctionProvider) {
        try await remote { [scene] request in
            guard scene.isThere.withLock({ $0 }) else { return [.close] }
            if request.contains(" /system/watch") { return [.send(Self.answer("404 Not Found", ""))] }
            if request.contains(" /system/namespaces") { return [.send(Self.answer("200 OK", #"["openfaas-fn"]"#))] }
            scene.lists.withLock { $0 += 1 }
            let list = scene.functions.withLock { $0 }.joined(separator: ",")
            return [.send(Self.answer("200 OK", "[\(list)]"))]
        }
    }

    private static func answer(_ status: String, _ body: String) -> String {
        "HTTP/1.1 \(status)\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
    }

    private static func function(_ name: String, replicas: Int) -> String {
        #"{"name":"\#(name)","namespace":"openfaas-fn","replicas":\#(replicas),"availableReplicas":\#(replicas)}"#
    }

    /// Lets the provider be asked so many times more, a second apart.
    private func ask(times: Int) async {
        for _ in 0..<times {
            let before = scene.lists.withLock { $0 }
            #expect(await clock.pass(.seconds(1)))
            #expect(await eventually { scene.lists.withLock { $0 } > before })
        }
        #expect(await eventually { clock.sleepers.first.map { $0 <= .seconds(1) } ?? false })
    }

    @Test func `a plain provider that answers an empty list for a moment deletes nothing`() async throws {
        let (origin, remote) = try await plain()
        scene.functions.withLock { $0 = [Self.function("fn", replicas: 1)] }
        var updates = remote.watch().makeAsyncIterator()
        #expect(await updates.next()?.routes.map(\.id.name) == ["fn"])
        scene.functions.withLock { $0 = [] }
        await ask(times: 5)
        scene.functions.withLock { $0 = [Self.function("fn", replicas: 2)] }
        await ask(times: 12)
        guard case .changed(let route)? = await updates.next() else {
            Issue.record("it was told that the function is gone")
            return
        }
        #expect(route.desiredReplicas == 2 && route.replicas.count == 1)
        _ = origin
    }

    @Test func `a function that a plain provider's lists lack for 10 s is gone`() async throws {
        let (origin, remote) = try await plain()
        scene.functions.withLock { $0 = [Self.function("fn", replicas: 1), Self.function("other", replicas: 1)] }
        var updates = remote.watch().makeAsyncIterator()
        let replica = await updates.next()?.routes.first?.replicas.first
        scene.functions.withLock { $0 = [Self.function("other", replicas: 1)] }
        await ask(times: 12)
        guard case .removed(let id)? = await updates.next() else {
            Issue.record("it was not told that the function is gone")
            return
        }
        #expect(id.name == "fn" && replica?.isDraining == true)
        _ = origin
    }

    @Test func `a provider that does not answer is lost, keeps its routes, and is heard again`() async throws {
        let (origin, remote) = try await plain()
        scene.functions.withLock { $0 = [Self.function("fn", replicas: 1)] }
        var updates = remote.watch().makeAsyncIterator()
        let replica = await updates.next()?.routes.first?.replicas.first
        scene.isThere.withLock { $0 = false }
        #expect(await clock.pass(.seconds(1)))
        guard case .lost(let fault)? = await updates.next() else {
            Issue.record("it was not told that the provider is lost")
            return
        }
        #expect(fault.code == .providerUnreachable && replica?.isDraining == false)
        scene.isThere.withLock { $0 = true }
        #expect(await clock.pass(.seconds(1)))
        guard case .heardAgain? = await updates.next() else {
            Issue.record("it was not told that the provider is heard again")
            return
        }
        _ = origin
    }

    /// A provider that pushes what it is told to, and then says nothing more.
    private func pushing(
        _ records: @escaping @Sendable (_ watch: Int) -> String
    ) async throws -> (
        ScriptedOrigin, HTTPFunctionProvider
    ) {
        try await remote { [scene] _ in
            let number = scene.watches.withLock { count in
                count += 1
                return count
            }
            let text = records(number)
            let size = String(text.utf8.count, radix: 16)
            return [.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\(size)\r\n\(text)\r\n")]
        }
    }

    private static func snapshot(_ names: String...) -> String {
        let functions = names.map { name in
            #"{"name":"\#(name)","namespace":"openfaas-fn","revision":1,"replicas":1,"availableReplicas":1,"#
                + #""queueDepth":1,"minReplicas":1,"notReadyReason":""}"#
        }
        return "{\"kind\":\"snapshot\",\"functions\":[\(functions.joined(separator: ","))]}\n"
    }

    @Test func `a watch that falls silent for 30 s is lost contact, and is opened anew`() async throws {
        let (origin, remote) = try await pushing { $0 == 1 ? Self.snapshot("fn") : Self.snapshot("fn", "new") }
        var updates = remote.watch().makeAsyncIterator()
        #expect(await updates.next()?.routes.map(\.id.name) == ["fn"])
        #expect(await eventually { clock.sleepers == [.seconds(30)] })
        clock.advance(by: .seconds(30))
        guard case .lost(let fault)? = await updates.next() else {
            Issue.record("nobody noticed")
            return
        }
        #expect(fault.message.contains("has said nothing for 30 s"), "\(fault)")
        #expect(await clock.pass(.milliseconds(100)))
        guard case .heardAgain? = await updates.next() else {
            Issue.record("it was not opened anew")
            return
        }
        #expect(await updates.next()?.routes.map(\.id.name) == ["new"], "what has changed is told, and nothing else")
        _ = origin
    }

    @Test func `a provider that takes the connection and says nothing at all is lost`() async throws {
        let (origin, remote) = try await remote { _ in [] }
        var updates = remote.watch().makeAsyncIterator()
        #expect(await eventually { clock.sleepers == [.seconds(30)] })
        clock.advance(by: .seconds(30))
        guard case .lost? = await updates.next() else {
            Issue.record("nobody noticed")
            return
        }
        _ = origin
    }

    @Test func `a heartbeat tells of contact that was lost behind the provider`() async throws {
        let fault = #"{"error":"There is no answer.","code":"provider-unreachable","fault":"provider","hint":""}"#
        let (origin, remote) = try await pushing { _ in
            Self.snapshot("fn") + "{\"kind\":\"heartbeat\",\"fault\":\(fault)}\n"
        }
        var updates = remote.watch().makeAsyncIterator()
        #expect(await updates.next()?.routes.map(\.id.name) == ["fn"])
        guard case .lost(let fault)? = await updates.next() else {
            Issue.record("it was not told")
            return
        }
        #expect(fault.message == "There is no answer." && fault.code == .providerUnreachable)
        _ = origin
    }
}
