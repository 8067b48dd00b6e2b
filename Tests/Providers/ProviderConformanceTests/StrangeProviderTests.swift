// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
import FunctionModel
import ProviderContract
import RemoteProvider
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

    @Test(arguments: ["http://127.0.0.1:65536", "http://[::1]:0", "https://h", "h", "http://h?x", "http://"])
    func `an address that is none is refused`(url: String) async throws {
        let client = SystemClient(baseURL: url, login: nil, http: RunningMartlet.http)
        #expect(throws: PlatformFault.self) { try HTTPFunctionProvider(client: client) }
        guard !url.hasPrefix("https:") else { return }
        let fault = await #expect(throws: PlatformFault.self) { try await client.checkHealth() }
        #expect(fault?.code == .badSettings)
    }
}
