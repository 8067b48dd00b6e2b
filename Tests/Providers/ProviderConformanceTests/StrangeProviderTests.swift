// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
import FunctionModel
import ProviderContract
import RemoteProvider
import Synchronization
import SystemClient
import TestSupport
import Testing

/// Providers elsewhere that say what no provider should.
struct StrangeProviderTests {
    private func routes(_ functions: String) async throws -> [FunctionRoute] {
        let body = "{\"kind\":\"snapshot\",\"functions\":[\(functions)]}\n"
        let provider = try await ScriptedOrigin { _ in
            [.send("HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")]
        }
        let url = "http://127.0.0.1:\(provider.port)"
        let client = SystemClient(baseURL: url, login: nil, http: RunningMartlet.http)
        let remote = try HTTPFunctionProvider(client: client)
        for await case .snapshot(let routes) in remote.watch() { return routes }
        return []
    }

    /// Whoever stands before a provider: whether it wants a login for calls, and whether the provider is a Martlet.
    enum Door: CaseIterable {
        case open, openMartlet, locked, lockedMartlet

        var isMartlet: Bool { self == .openMartlet || self == .lockedMartlet }
        var isLocked: Bool { self == .locked || self == .lockedMartlet }
    }

    private func provider(behind door: Door) async throws -> ScriptedOrigin {
        let function = """
            {"name":"fn","namespace":"openfaas-fn","revision":1,"replicas":1,"availableReplicas":1,"queueDepth":1,\
            "minReplicas":1,"notReadyReason":""}
            """
        return try await ScriptedOrigin { request in
            let path = request.split(separator: " ").dropFirst().first.map(String.init) ?? ""
            var body: String?
            switch path {
            case "/system/watch" where door.isMartlet: body = "{\"kind\":\"snapshot\",\"functions\":[\(function)]}\n"
            case "/system/namespaces": body = #"["openfaas-fn"]"#
            case "/system/functions?namespace=openfaas-fn": body = "[\(function)]"
            default: break
            }
            let isLetIn = request.contains("Basic bWU6cHc=") || path.hasPrefix("/function/") && !door.isLocked
            let status = isLetIn ? (body == nil ? "404 Not Found" : "200 OK") : "401 Unauthorized"
            let text = isLetIn ? body ?? "" : ""
            return [.send("HTTP/1.1 \(status)\r\nContent-Length: \(text.utf8.count)\r\n\r\n\(text)")]
        }
    }

    @Test(arguments: Door.allCases, [true, false])
    func `calls bring the login where what stands before the provider wants it, and nobody can tell functions`(
        door: Door,
        isInAddress: Bool
    ) async throws {
        let provider = try await provider(behind: door)
        let url = "http://\(isInAddress ? "me:pw@" : "")127.0.0.1:\(provider.port)/"
        let login = isInAddress ? nil : SystemClient.Login(user: "me", password: "pw")
        let client = SystemClient(baseURL: url, login: login, http: RunningMartlet.http)
        #expect(client.baseURL == "http://127.0.0.1:\(provider.port)", "what is printed has no password")
        let told = Mutex<[String]>([])
        let remote = try HTTPFunctionProvider(client: client) { id, why in
            if id == nil { told.withLock { $0.append(why) } }
        }
        for await case .snapshot(let routes) in remote.watch() {
            let upstream = try #require(routes.first?.replicas.first?.target as? Upstream)
            let isTold = door.isLocked && (door.isMartlet || isInAddress)
            #expect(upstream.headers.map(\.value) == (isTold ? ["Basic bWU6cHc="] : []))
            #expect(upstream.address == .tcp(host: "127.0.0.1", port: provider.port), "and nobody else")
            break
        }
        let isWithheld = door == .locked && !isInAddress
        #expect(told.withLock { $0.map { $0.contains("may tell functions") } } == (isWithheld ? [true] : []))
        var asked: [String] = []
        for await request in provider.requests {
            asked.append(request)
            if request.hasPrefix("GET /function/") { break }
        }
        let question = try #require(asked.last)
        #expect(question.hasPrefix("GET /function/ HTTP/1.1\r\n"), "it is no function's address")
        #expect(!question.lowercased().contains("authorization"))
    }

    @Test func `a provider that sends elsewhere is not followed, and nobody there hears the login`() async throws {
        let heard = Mutex(0)
        let elsewhere = try await ScriptedOrigin { _ in
            heard.withLock { $0 += 1 }
            return [.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]")]
        }
        let to = "Location: http://127.0.0.1:\(elsewhere.port)/system/functions\r\n"
        let provider = try await ScriptedOrigin { _ in
            [.send("HTTP/1.1 307 Temporary Redirect\r\n\(to)Content-Length: 0\r\n\r\n")]
        }
        let url = "http://me:pw@127.0.0.1:\(provider.port)"
        let remote = try HTTPFunctionProvider(client: SystemClient(baseURL: url, login: nil, http: RunningMartlet.http))
        await #expect(throws: PlatformFault.self) { try await remote.functions(in: "openfaas-fn") }
        await #expect(throws: PlatformFault.self) { try await remote.info() }
        #expect(heard.withLock { $0 } == 0)
    }

    @Test(arguments: ["1e300", "-1e300", "1e19", "-1", "0", "0.5"])
    func `whatever durations it tells, its functions can be called`(seconds: String) async throws {
        let routes = try await routes(
            """
            {"name":"fn","namespace":"openfaas-fn","revision":1,"replicas":1,"availableReplicas":1,"queueDepth":1,\
            "minReplicas":1,"notReadyReason":"","execTimeoutSeconds":\(seconds),\
            "retry":{"firstWaitSeconds":\(seconds),"longestWaitSeconds":\(seconds)}}
            """
        )
        let policy = try #require(routes.first?.policy)
        for duration in [policy.deadline, policy.retry.firstWait, policy.retry.longestWait] {
            let duration = try #require(duration)
            #expect(duration >= .zero && duration <= .seconds(9_223_372_036))
        }
    }

    @Test(arguments: [Int.min, -1, 0, Int.max])
    func `whatever numbers it tells can be counted with`(number: Int) async throws {
        let routes = try await routes(
            """
            {"name":"fn","namespace":"openfaas-fn","revision":\(number),"replicas":\(number),\
            "availableReplicas":\(number),"maxInFlight":\(number),"queueDepth":\(number),"minReplicas":\(number),\
            "maxReplicas":\(number),"notReadyReason":""}
            """
        )
        let route = try #require(routes.first)
        #expect((0...Int(Int32.max)).contains(route.desiredReplicas) && route.revision >= 0)
        #expect(
            (1...Int(Int32.max)).contains(route.scaling.min)
                && (0...Int(Int32.max)).contains(route.policy.queueDepth)
        )
        #expect((1...Int(Int32.max)).contains(route.scaling.max))
        #expect(route.policy.maxInFlight.map { (1...Int(Int32.max)).contains($0) } ?? true)
    }

    @Test(arguments: [
        ("a b", "openfaas-fn"), (#"a HTTP/1.1\r\nX-Evil: 1\r\n\r\n"#, "openfaas-fn"), ("../x", "openfaas-fn"),
        ("A", "openfaas-fn"), ("", "openfaas-fn"), ("fn", #"x y\n"#), ("fn", ""),
    ])
    func `a function whose name could not stand in a request is left out, and told once`(
        name: String,
        namespace: String
    ) async throws {
        func function(_ name: String, _ namespace: String) -> String {
            #"{"name":"\#(name)","namespace":"\#(namespace)","revision":1,"replicas":1,"availableReplicas":1,"#
                + #""queueDepth":1,"minReplicas":1,"notReadyReason":""}"#
        }
        let bad = function(name, namespace)
        let body =
            "{\"kind\":\"snapshot\",\"functions\":[\(bad),\(function("fn", "openfaas-fn"))]}\n"
            + "{\"kind\":\"changed\",\"functions\":[\(bad)]}\n"
            + "{\"kind\":\"changed\",\"functions\":[\(function("last", "openfaas-fn"))]}\n"
        let provider = try await ScriptedOrigin { _ in
            [.send("HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")]
        }
        let client = SystemClient(baseURL: "http://127.0.0.1:\(provider.port)", login: nil, http: RunningMartlet.http)
        let warnings = Mutex<[String]>([])
        let remote = try HTTPFunctionProvider(client: client) { id, why in
            warnings.withLock { $0.append("\(id.map { "\($0)" } ?? "") \(why)") }
        }
        var seen: [String] = []
        for await update in remote.watch() {
            seen += update.routes.map(\.id.description)
            if seen.last == "last.openfaas-fn" { break }
        }
        #expect(seen.filter { $0 != "last.openfaas-fn" } == ["fn.openfaas-fn"])
        let told = warnings.withLock { $0 }
        #expect(told.count == 1 && told.first?.contains("left out") == true, "\(told)")
        #expect(told.allSatisfy { $0.unicodeScalars.allSatisfy { $0.value >= 0x20 } })
    }

    @Test func `methods that could not stand in a field are none`() async throws {
        let routes = try await routes(
            """
            {"name":"fn","namespace":"openfaas-fn","revision":1,"replicas":1,"availableReplicas":1,"queueDepth":1,\
            "minReplicas":1,"notReadyReason":"","methods":["GET","PUT\\r\\nX-Evil: 1","","a b"]}
            """
        )
        #expect(routes.first?.policy.methods == ["GET"])
    }

    /// A provider that cannot push and has one function.
    private func plainProvider(_ function: String) async throws -> ScriptedOrigin {
        try await ScriptedOrigin { request in
            let answers = ["/system/namespaces": #"["openfaas-fn"]"#, "/system/functions": "[\(function)]"]
            guard let body = answers.first(where: { request.hasPrefix("GET \($0.key)") })?.value else {
                return [.send("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")]
            }
            return [.send("HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")]
        }
    }

    @Test func `what a plain provider says of calls holds, and what cannot be parsed is told once`() async throws {
        let provider = try await plainProvider(
            """
            {"name":"fn","namespace":"openfaas-fn","replicas":3,"availableReplicas":3,\
            "envVars":{"exec_timeout":"7s","max_inflight":"2","grace_period":"soon"},\
            "labels":{"com.martlet.colour":"red","com.openfaas.scale.min":"2","com.openfaas.scale.max":"many"},\
            "annotations":{"com.openfaas.retry.attempts":"4","com.martlet.methods":"GET","com.martlet.access":"token"}}
            """
        )
        let url = "http://127.0.0.1:\(provider.port)"
        let client = SystemClient(baseURL: url, login: nil, http: RunningMartlet.http)
        let told = Mutex<[String]>([])
        let remote = try HTTPFunctionProvider(client: client, pollInterval: .milliseconds(1)) { id, why in
            told.withLock { $0.append("\(id.map { "\($0)" } ?? "") \(why)") }
        }
        let updates = remote.watch()
        var first: FunctionRoute?
        for await case .snapshot(let routes) in updates {
            first = routes.first
            break
        }
        let route = try #require(first)
        var lists = 0
        for await request in provider.requests where request.hasPrefix("GET /system/functions") {
            lists += 1
            if lists == 3 { break }
        }
        // It is asked as long as somebody follows it.
        withExtendedLifetime(updates) {}
        #expect(route.policy.deadline == .seconds(7) && route.policy.maxInFlight == 6)
        #expect(route.policy.retry == CallPolicy.Retry(attempts: 4) && route.policy.methods == ["GET"])
        #expect(route.policy.access != .public && route.scaling == ScalingSpec(min: 2))
        let warnings = told.withLock { $0 }
        #expect(warnings.count == 1, "\(warnings)")
        for word in ["fn.openfaas-fn", "com.martlet.colour", "grace_period", "com.openfaas.scale.max", "access"] {
            #expect(warnings.first?.contains(word) == true, "\(word): \(warnings)")
        }
    }

    @Test func `who may call a function, and how, is told by a gateway's watch`() async throws {
        let routes = try await routes(
            """
            {"name":"fn","namespace":"openfaas-fn","revision":1,"replicas":1,"availableReplicas":1,"queueDepth":1,\
            "minReplicas":1,"notReadyReason":"","access":"token","methods":["GET"],\
            "scaling":{"com.openfaas.scale.target":"5","com.martlet.scale.later":"x"}}
            """
        )
        let route = try #require(routes.first)
        #expect(route.policy.access.rawValue == "token" && route.policy.methods == ["GET"])
        #expect(route.scaling.rules?.target == 5, "what a later version adds does not undo the rest")
    }

    @Test func `a plain OpenFaaS provider is asked what it can do, and nothing is asked of it that it cannot`()
        async throws
    {
        let answers = [
            "/system/info": #"{"provider":{"provider":"faasd-ce","orchestration":"containerd","#
                + #""version":{"release":"0.19","sha":"1"}}}"#,
            "/system/namespaces": #"["openfaas-fn"]"#, "/system/namespace/openfaas-fn": #"{"name":"openfaas-fn"}"#,
            "/system/functions?namespace=openfaas-fn": "[]",
        ]
        let provider = try await ScriptedOrigin { head in
            let path = head.split(separator: " ").dropFirst().first.map(String.init) ?? ""
            let (status, body) = answers[path].map { ("200 OK", $0) } ?? ("404 Not Found", "")
            return [.send("HTTP/1.1 \(status)\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")]
        }
        let client = SystemClient(baseURL: "http://127.0.0.1:\(provider.port)", login: nil, http: RunningMartlet.http)
        let remote = try HTTPFunctionProvider(client: client)
        #expect(remote.capabilities == .all, "nothing is known yet")
        for await _ in remote.watch() { break }
        #expect(remote.capabilities.lacks(.zeroReplicas) && remote.capabilities.lacks(.severalReplicas))
        #expect(remote.secrets == nil && remote.images == nil && !remote.capabilities.replacesSecrets)
        #expect(remote.namespaces != nil && remote.logs != nil)
    }

    @Test func `what another Martlet says of itself is believed, and what it leaves out counts as possible`()
        async throws
    {
        let body =
            #"{"kind":"snapshot","functions":[],"capabilities":{"logs":false,"scalesToZero":false,"dreams":true}}"#
        let provider = try await ScriptedOrigin { _ in
            [.send("HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")]
        }
        let client = SystemClient(baseURL: "http://127.0.0.1:\(provider.port)", login: nil, http: RunningMartlet.http)
        let remote = try HTTPFunctionProvider(client: client)
        for await _ in remote.watch() { break }
        var expected = ProviderCapabilities.all
        expected.logs = false
        expected.behaviours.scalesToZero = false
        #expect(remote.capabilities == expected && remote.logs == nil)
    }

    @Test func `a line of a kind that is not known is skipped, and a state that is not is passed on`() async throws {
        let status =
            #"{"name":"fn","martlet":{"revision":1,"readyRevision":1,"state":"canarying","reason":"","#
            + #""since":"2026-01-02T15:04:05Z","limitsEnforced":true}}"#
        let function =
            #"{"name":"fn","namespace":"openfaas-fn","revision":1,"replicas":1,"availableReplicas":1,"queueDepth":1,"#
            + #""minReplicas":1,"notReadyReason":"","state":"canarying"}"#
        let snapshot = "{\"kind\":\"snapshot\",\"functions\":[\(function)]}"
        let lines = #"{"kind":"weather","sky":"clear"}"# + "\n\(snapshot)\n"
        let provider = try await ScriptedOrigin { head in
            let body = head.hasPrefix("GET /system/watch ") ? lines : status
            return [.send("HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")]
        }
        let client = SystemClient(baseURL: "http://127.0.0.1:\(provider.port)", login: nil, http: RunningMartlet.http)
        let remote = try HTTPFunctionProvider(client: client)
        for await case .snapshot(let routes) in remote.watch() {
            #expect(routes.map(\.state?.rawValue) == ["canarying"])
            break
        }
        let id = FunctionID(name: "fn", namespace: NameRule.defaultNamespace)
        #expect(try await remote.function(id, includingUsage: false).martlet?.state.rawValue == "canarying")
    }

    @Test(arguments: ["http://127.0.0.1:65536", "http://[::1]:0", "h", "http://h?x", "http://"])
    func `an address that is none is refused`(url: String) async throws {
        let client = SystemClient(baseURL: url, login: nil, http: RunningMartlet.http)
        #expect(throws: PlatformFault.self) { try HTTPFunctionProvider(client: client) }
        let fault = await #expect(throws: PlatformFault.self) { try await client.checkHealth() }
        #expect(fault?.code == .badSettings)
    }
}
