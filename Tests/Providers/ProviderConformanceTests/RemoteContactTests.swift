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
        /// What the door says to calls that bring no login.
        let door = Mutex(401)
    }

    private let scene = Scene()

    private func remote(
        login: SystemClient.Login? = nil,
        _ answer: @escaping @Sendable (String) -> [ScriptedOrigin.Step]
    ) async throws -> (ScriptedOrigin, HTTPFunctionProvider) {
        let origin = try await ScriptedOrigin(answer: answer)
        let client = SystemClient(
            baseURL: "http://127.0.0.1:\(origin.port)",
            login: login,
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

    private static let login = SystemClient.Login(user: "me", password: "pw")

    @Test(arguments: [nil, login])
    func `a provider that takes the connection and says nothing, be it of a login alone, is lost`(
        login: SystemClient.Login?
    ) async throws {
        let (origin, remote) = try await remote(login: login) { request in
            guard login != nil, request.contains(" /system/watch") else { return [] }
            return [.send(Self.answer("200 OK", Self.snapshot("fn")))]
        }
        var updates = remote.watch().makeAsyncIterator()
        #expect(await eventually { clock.sleepers == [.seconds(30)] })
        clock.advance(by: .seconds(30))
        guard case .lost? = await updates.next() else {
            Issue.record("nobody noticed")
            return
        }
        _ = origin
    }

    @Test func `a plain provider that is mute when it is asked what it can do is lost`() async throws {
        let (origin, remote) = try await remote { request in
            request.contains(" /system/watch") ? [.send(Self.answer("404 Not Found", ""))] : []
        }
        var updates = remote.watch().makeAsyncIterator()
        #expect(await origin.nextRequest().hasPrefix("GET /system/watch "))
        #expect(await origin.nextRequest().hasPrefix("GET /system/info "))
        #expect(await eventually { clock.sleepers == [.seconds(30)] })
        clock.advance(by: .seconds(30))
        guard case .lost? = await updates.next() else {
            Issue.record("nobody noticed")
            return
        }
        #expect(remote.capabilities == .all, "nothing was found out")
    }

    /// A provider that has no watch when it is asked for the first time.
    private func late() async throws -> (ScriptedOrigin, HTTPFunctionProvider) {
        try await remote { [scene] request in
            guard scene.isThere.withLock({ $0 }) else { return [.close] }
            if request.contains(" /system/watch") {
                let isFirst = scene.watches.withLock { count in
                    count += 1
                    return count == 1
                }
                if isFirst { return [.send(Self.answer("404 Not Found", ""))] }
                return [.send(Self.answer("200 OK", Self.snapshot("pushed")))]
            }
            if request.contains(" /system/namespaces") { return [.send(Self.answer("200 OK", #"["openfaas-fn"]"#))] }
            scene.lists.withLock { $0 += 1 }
            return [.send(Self.answer("200 OK", "[]"))]
        }
    }

    @Test func `a provider that pushes only later is asked for that once a minute`() async throws {
        let (origin, remote) = try await late()
        var updates = remote.watch().makeAsyncIterator()
        #expect(await updates.next()?.routes.isEmpty == true)
        await ask(times: 59)
        #expect(scene.watches.withLock { $0 } == 1)
        #expect(await clock.pass(.seconds(1)))
        #expect(await clock.pass(.milliseconds(100)))
        #expect(await updates.next()?.routes.map(\.id.name) == ["pushed"])
        _ = origin
    }

    @Test func `a provider that was lost is asked for pushes when it is turned to again`() async throws {
        let (origin, remote) = try await late()
        var updates = remote.watch().makeAsyncIterator()
        #expect(await updates.next()?.routes.isEmpty == true)
        scene.isThere.withLock { $0 = false }
        #expect(await clock.pass(.seconds(1)))
        guard case .lost? = await updates.next() else {
            Issue.record("it was not told that the provider is lost")
            return
        }
        scene.isThere.withLock { $0 = true }
        #expect(await clock.pass(.milliseconds(100)))
        guard case .heardAgain? = await updates.next() else {
            Issue.record("it was not told that the provider is heard again")
            return
        }
        #expect(await updates.next()?.routes.map(\.id.name) == ["pushed"])
        _ = origin
    }

    /// A provider behind a door that changes, each of whose watches ends at once.
    private func doored() async throws -> (ScriptedOrigin, HTTPFunctionProvider) {
        try await remote(login: Self.login) { [scene] request in
            if request.contains(" /system/watch") { return [.send(Self.answer("200 OK", Self.snapshot("fn")))] }
            return [.send(Self.answer("\(scene.door.withLock { $0 }) Door", ""))]
        }
    }

    private static func logins(_ replica: Replica?) -> [String]? {
        (replica?.target as? Upstream)?.headers.map(\.value)
    }

    @Test(arguments: [[401, 404], [404, 401]])
    func `when the door wants a login from now on, or no more, calls go on`(doors: [Int]) async throws {
        scene.door.withLock { $0 = doors[0] }
        let (origin, remote) = try await doored()
        var updates = remote.watch().makeAsyncIterator()
        let before = await updates.next()?.routes.first?.replicas.first
        #expect(Self.logins(before) == (doors[0] == 401 ? ["Basic bWU6cHc="] : []))
        scene.door.withLock { $0 = doors[1] }
        #expect(await clock.pass(.milliseconds(100)))
        let after = await updates.next()?.routes.first?.replicas.first
        #expect(Self.logins(after) == (doors[1] == 401 ? ["Basic bWU6cHc="] : []))
        #expect(before?.isDraining == true && after?.isDraining == false)
        _ = origin
    }

    @Test(arguments: [429, 500, 502, 503, 504])
    func `a door that is busy or away does not say that calls need no login`(status: Int) async throws {
        let (origin, remote) = try await doored()
        var updates = remote.watch().makeAsyncIterator()
        let replica = await updates.next()?.routes.first?.replicas.first
        scene.door.withLock { $0 = status }
        #expect(await clock.pass(.milliseconds(100)))
        guard case .lost(let fault)? = await updates.next() else {
            Issue.record("it was believed")
            return
        }
        #expect(fault.message.contains("\(status)"))
        #expect(Self.logins(replica) == ["Basic bWU6cHc="] && replica?.isDraining == false)
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
