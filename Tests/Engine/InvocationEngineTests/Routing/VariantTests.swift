// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import InvocationEngine
import ProviderContract
import Synchronization
import TestSupport
import Testing

/// A function whose calls are split among revisions.
struct VariantTests {
    /// A front door, and a server for each of two revisions.
    private struct Stage {
        let fixture: EngineFixture
        let other: ScriptedOrigin
        let second: Replica

        init(
            firstSlots: Int? = nil,
            first: @escaping @Sendable (String) -> [ScriptedOrigin.Step] = { _ in [.send(VariantTests.answer("one"))] }
        ) async throws {
            let slots = firstSlots.map { ["max_inflight": "\($0)"] } ?? [:]
            fixture = try await EngineFixture(environment: slots, answer: first)
            other = try await ScriptedOrigin { _ in [.send(VariantTests.answer("two"))] }
            second = Replica(
                id: "fn-2",
                revision: 2,
                target: Upstream(.tcp(host: "127.0.0.1", port: other.port)),
                maxInFlight: nil
            )
        }

        func split(
            _ firstWeight: Int,
            _ secondWeight: Int,
            _ first: CallPolicy = CallPolicy()
        ) {
            let variants = [
                RouteVariant(revision: 1, weight: firstWeight, replicas: [fixture.replica], policy: first),
                RouteVariant(revision: 2, weight: secondWeight, replicas: [second]),
            ]
            let id = FunctionID(name: "fn", namespace: "openfaas-fn")
            fixture.table.apply(.changed(FunctionRoute(id: id, variants: variants, desiredReplicas: 2)))
        }

        /// How often each of two words ended an answer.
        func words(of count: Int) async throws -> (one: Int, two: Int) {
            var words = (one: 0, two: 0)
            for _ in 0..<count {
                let answer = try await fixture.exchange(EngineFixture.request())
                if answer.hasSuffix("one") { words.one += 1 }
                if answer.hasSuffix("two") { words.two += 1 }
            }
            return words
        }
    }

    private static func answer(_ word: String) -> String {
        "HTTP/1.1 200 OK\r\nContent-Length: \(word.utf8.count)\r\n\r\n\(word)"
    }

    @Test func `calls are split by weight`() async throws {
        let stage = try await Stage()
        stage.split(3, 1)
        let words = try await stage.words(of: 400)
        #expect(words.one + words.two == 400)
        // Seven standard deviations.
        #expect((40...160).contains(words.two), "\(words)")
    }

    @Test func `a variant of weight 0 gets no call`() async throws {
        let stage = try await Stage()
        stage.split(0, 1)
        #expect(try await stage.words(of: 40) == (0, 40))
        stage.split(1, 0)
        #expect(try await stage.words(of: 40) == (40, 0))
    }

    @Test func `a variant without a free slot turns its own calls away, and no other's`() async throws {
        let stage = try await Stage(firstSlots: 1) { _ in [] }
        stage.split(1, 1, CallPolicy(maxInFlight: 1, queueDepth: 0))
        #expect(stage.fixture.replica.enter())
        var full = 0
        for _ in 0..<60 {
            let answer = try await stage.fixture.exchange(EngineFixture.request())
            if answer.hasPrefix("HTTP/1.1 429 ") { full += 1 } else { #expect(answer.hasSuffix("two"), "\(answer)") }
        }
        #expect((1..<60).contains(full), "\(full) of 60 were turned away")
        stage.fixture.replica.leave()
    }

    @Test func `a call for later has to please every variant, as it may fall to any`() async throws {
        var settings = EngineSettings(servedBy: "martlet/test")
        settings.intake = AcceptingIntake()
        let fixture = try await EngineFixture(settings: settings)
        let second = Replica(id: "fn-2", revision: 2, target: fixture.replica.target, maxInFlight: nil)
        let variants = [
            RouteVariant(revision: 1, weight: 1, replicas: [fixture.replica], policy: CallPolicy(methods: ["POST"])),
            RouteVariant(revision: 2, weight: 1, replicas: [second], policy: CallPolicy(methods: ["GET"])),
        ]
        let id = FunctionID(name: "fn", namespace: "openfaas-fn")
        fixture.table.apply(.changed(FunctionRoute(id: id, variants: variants, desiredReplicas: 2)))
        let answer = try await fixture.exchange(EngineFixture.request("POST /async-function/fn HTTP/1.1"))
        #expect(answer.hasPrefix("HTTP/1.1 405 ") && answer.contains("Allow: GET"), "\(answer)")
    }

    @Test func `the share of a variant whose replicas drain goes to the others`() async throws {
        let stage = try await Stage()
        stage.split(1_000_000, 1)
        stage.fixture.replica.drain {}
        #expect(try await stage.words(of: 20) == (0, 20))
    }

    @Test func `a variant's own policy holds for its calls`() async throws {
        let stage = try await Stage { _ in [] }
        stage.split(1, 1, CallPolicy(deadline: .milliseconds(50)))
        var late = 0
        for _ in 0..<40 {
            let answer = try await stage.fixture.exchange(EngineFixture.request())
            if answer.hasPrefix("HTTP/1.1 504 ") { late += 1 } else { #expect(answer.hasSuffix("two"), "\(answer)") }
        }
        #expect((1..<40).contains(late), "\(late) of 40 were late")
    }

    @Test func `calls that wait for a variant go to another when it gets none any more`() async throws {
        let stage = try await Stage(firstSlots: 1)
        stage.split(1_000_000, 1, CallPolicy(maxInFlight: 1))
        #expect(stage.fixture.replica.enter())
        async let waiting = stage.fixture.exchange(EngineFixture.request())
        #expect(try await eventually { try await stage.fixture.metrics()?.inFlight == 1 })
        stage.split(0, 1)
        #expect(try await waiting.hasSuffix("two"))
        stage.fixture.replica.leave()
    }

    @Test func `a call that waits for a variant goes on when the whole function's call before it has ended`()
        async throws
    {
        let released = Mutex<[@Sendable () -> Void]>([])
        let stage = try await Stage(firstSlots: 1) { _ in [.hold { hand in released.withLock { $0.append(hand) } }] }
        async let first = stage.fixture.exchange(EngineFixture.request())
        #expect(await eventually { released.withLock { $0.count } == 1 })
        stage.split(1_000_000, 1, CallPolicy(maxInFlight: 1))
        async let second = stage.fixture.exchange(EngineFixture.request())
        #expect(try await eventually { try await stage.fixture.metrics()?.inFlight == 2 })
        released.withLock { $0.removeFirst() }()
        #expect(try await first.hasSuffix("released"))
        #expect(await eventually { released.withLock { $0.count } == 1 })
        released.withLock { $0.removeFirst() }()
        #expect(try await second.hasSuffix("released"))
    }

    @Test func `what is counted of variants is counted of their function`() async throws {
        let stage = try await Stage()
        stage.split(1, 1)
        _ = try await stage.words(of: 10)
        #expect(try await stage.fixture.metrics()?.started == 10)
    }
}

/// Functions that are called at further paths.
struct PathTests {
    private func route(_ name: String, _ origin: ScriptedOrigin, paths: [String]) -> FunctionRoute {
        let target = Upstream(.tcp(host: "127.0.0.1", port: origin.port))
        var route = FunctionRoute(
            id: FunctionID(name: name, namespace: "openfaas-fn"),
            revision: 1,
            desiredReplicas: 1,
            replicas: [Replica(id: name, target: target, maxInFlight: nil)]
        )
        route.paths = paths
        return route
    }

    private func origin(_ name: String) async throws -> ScriptedOrigin {
        try await ScriptedOrigin { request in
            let text = "\(name) \(request.split(separator: " ")[1])"
            return [.send("HTTP/1.1 200 OK\r\nContent-Length: \(text.utf8.count)\r\n\r\n\(text)")]
        }
    }

    @Test func `the longest path of whole segments leads to its function, which sees the rest`() async throws {
        let fixture = try await EngineFixture()
        let (shop, cart) = (try await origin("shop"), try await origin("cart"))
        fixture.table.apply(.changed(route("front", shop, paths: ["/shop", "/store"])))
        fixture.table.apply(.changed(route("cart", cart, paths: ["/shop/cart"])))
        for (target, expected) in [
            ("/shop", "shop /"), ("/shop/", "shop /"), ("/shop/a?b=c", "shop /a?b=c"), ("/store/x", "shop /x"),
            ("/shop/cart", "cart /"), ("/shop/cart/7", "cart /7"), ("/shop/carts", "shop /carts"),
            ("//shop/a", "shop /a"),
        ] {
            let answer = try await fixture.exchange(EngineFixture.request("GET \(target) HTTP/1.1"))
            #expect(answer.hasSuffix("\r\n\r\n\(expected)"), "\(target): \(answer)")
            #expect(answer.contains("X-Call-Id: "), "it is a call")
        }
        for target in ["/", "/shopping", "/sho", "/Shop", "/%73hop", "/system/functions", "/cart"] {
            let answer = try await fixture.exchange(EngineFixture.request("GET \(target) HTTP/1.1"))
            #expect(answer.contains("GET \(target)\n"), "\(target) is the platform's: \(answer)")
        }
        fixture.table.apply(.removed(FunctionID(name: "cart", namespace: "openfaas-fn")))
        let answer = try await fixture.exchange(EngineFixture.request("GET /shop/cart/7 HTTP/1.1"))
        #expect(answer.hasSuffix("\r\n\r\nshop /cart/7"), "\(answer)")
    }

    @Test func `a path that begins with another function's name leads nowhere while that exists`() async throws {
        let fixture = try await EngineFixture()
        let (shop, cart) = (try await origin("shop"), try await origin("cart"))
        func answer() async throws -> String {
            try await fixture.exchange(EngineFixture.request("GET /shop/7 HTTP/1.1"))
        }
        fixture.table.apply(.changed(route("cart", cart, paths: ["/shop"])))
        #expect(try await answer().hasSuffix("\r\n\r\ncart /7"))
        fixture.table.apply(.changed(route("shop", shop, paths: [])))
        #expect(try await answer().contains("GET /shop/7\n"), "it is the platform's")
        fixture.table.apply(.changed(route("shop", shop, paths: ["/shop"])))
        #expect(try await answer().hasSuffix("\r\n\r\nshop /7"), "a function's own name is its own")
        fixture.table.apply(.removed(FunctionID(name: "shop", namespace: "openfaas-fn")))
        #expect(try await answer().hasSuffix("\r\n\r\ncart /7"))
    }

    @Test func `a function's health is not reachable at a further path either`() async throws {
        let fixture = try await EngineFixture()
        let shop = try await origin("shop")
        fixture.table.apply(.changed(route("shop", shop, paths: ["/shop"])))
        let answer = try await fixture.exchange(EngineFixture.request("GET /shop/_/health HTTP/1.1"))
        #expect(answer.hasPrefix("HTTP/1.1 404 "), "\(answer)")
    }
}
