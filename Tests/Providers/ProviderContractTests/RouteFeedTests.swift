// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import ProviderContract
import Synchronization
import TestSupport
import Testing

/// What followers of a feed are told.
struct RouteFeedTests {
    private let feed = RouteFeed()
    private static let fault = PlatformFault(.providerUnreachable, "There is no answer.")

    private func route(_ name: String, desired: Int = 1) -> FunctionRoute {
        FunctionRoute(
            id: id(name),
            revision: 1,
            desiredReplicas: desired,
            policy: CallPolicy(),
            scaling: ScalingSpec(),
            replicas: []
        )
    }

    private func id(_ name: String) -> FunctionID { FunctionID(name: name, namespace: "openfaas-fn") }

    /// All that is told until the feed is closed, as words.
    private func words(_ updates: AsyncStream<RouteUpdate>) async -> [String] {
        await updates.reduce(into: []) { $0.append(Self.words(for: $1)) }
    }

    private static func words(for update: RouteUpdate) -> String {
        switch update {
        case .snapshot(let routes): "snapshot \(routes.map(\.id.name))"
        case .changed(let route): "\(route.id.name) \(route.desiredReplicas)"
        case .removed(let id): "\(id.name) removed"
        case .lost(let fault): "lost \(fault.code.rawValue)"
        case .heardAgain: "heard again"
        }
    }

    @Test func `a follower gets a snapshot, and each change when it comes`() async throws {
        feed.publish(route("a"))
        let (heard, continuation) = AsyncStream.makeStream(of: RouteUpdate.self)
        let following = Task { [feed] in for await update in feed.updates() { continuation.yield(update) } }
        var taking = heard.makeAsyncIterator()
        #expect(await taking.next()?.routes.map(\.id.name) == ["a"])
        feed.publish(route("b"))
        #expect(await taking.next()?.routes.map(\.id.name) == ["b"])
        feed.close()
        await following.value
    }

    @Test func `a slow follower gets the newest state of each function once`() async throws {
        let updates = feed.updates()
        var taking = updates.makeAsyncIterator()
        _ = await taking.next()
        for desired in 1...100 {
            for number in 0..<10 { feed.publish(route("fn\(number)", desired: desired)) }
        }
        feed.remove(id("fn3"))
        feed.close()
        let expected = (0..<10).map { $0 == 3 ? "fn3 removed" : "fn\($0) 100" }
        #expect(await words(updates) == expected)
    }

    @Test func `one that has missed very many functions that came and went gets a snapshot`() async throws {
        let updates = feed.updates()
        var taking = updates.makeAsyncIterator()
        _ = await taking.next()
        feed.publish(route("stays"))
        for number in 0..<1000 {
            feed.publish(route("fn\(number)"))
            feed.remove(id("fn\(number)"))
        }
        feed.close()
        let told = await words(updates)
        #expect(told.first == "snapshot [\"stays\"]" && told.count < 100, "\(told.count)")
    }

    @Test func `lost contact is told, and that it was had again`() async throws {
        let updates = feed.updates()
        var taking = updates.makeAsyncIterator()
        _ = await taking.next()
        feed.lose(Self.fault)
        feed.lose(PlatformFault(.providerFailed, "It is worse."))
        guard case .lost(let fault)? = await taking.next() else {
            Issue.record("nothing was lost")
            return
        }
        #expect(fault.code == .providerUnreachable, "the first reason counts")
        feed.publish(route("a"))
        feed.hearAgain()
        feed.close()
        #expect(await words(updates) == ["heard again", "a 1"])
    }

    @Test func `who looks away while contact is lost and had again hears of neither`() async throws {
        let updates = feed.updates()
        var taking = updates.makeAsyncIterator()
        _ = await taking.next()
        feed.lose(Self.fault)
        feed.hearAgain()
        feed.close()
        #expect(await words(updates).isEmpty)
    }

    @Test func `nothing but lost contact is told before all functions are known`() async throws {
        let feed = RouteFeed(isComplete: false)
        feed.publish(route("early"))
        let updates = feed.updates()
        feed.lose(Self.fault)
        var taking = updates.makeAsyncIterator()
        guard case .lost? = await taking.next() else {
            Issue.record("something else was told first")
            return
        }
        feed.hearAgain()
        feed.replace(with: [route("all")])
        feed.close()
        #expect(await words(updates) == ["snapshot [\"all\"]", "heard again"])
    }

    @Test(arguments: [true, false])
    func `a stream that nobody follows any more is let go of, once`(byCancelling: Bool) async throws {
        let ends = Mutex(0)
        let (begun, continuation) = AsyncStream.makeStream(of: Void.self)
        let following = Task { [feed] in
            for await _ in feed.updates(onEnd: { ends.withLock { $0 += 1 } }) {
                continuation.finish()
                if !byCancelling { break }
            }
        }
        for await _ in begun {}
        if byCancelling { following.cancel() }
        await following.value
        #expect(await eventually { ends.withLock { $0 } == 1 })
        feed.publish(route("a"))
        #expect(ends.withLock { $0 } == 1)
    }
}
