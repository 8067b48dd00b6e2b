// SPDX-License-Identifier: Apache-2.0

import ProviderContract
import Testing

@testable import DockerProvider

struct ContainerReachTests {
    private var place = ContainerPlace(
        isRunning: true,
        address: "172.17.0.2",
        gateway: "172.17.0.1",
        published: [.init(address: "127.77.0.1", port: 32_768)]
    )

    private func upstream(
        _ reach: ContainerReach = .automatic,
        bridges: Set<String> = [],
        host: String? = nil
    )
        -> Upstream.Address?
    {
        place.upstream(port: 8080, reach, bridges: bridges, host: host)
    }

    @Test func `a container is called at its own address where the bridge is this machine's`() {
        #expect(upstream(bridges: ["172.17.0.1"]) == .tcp(host: "172.17.0.2", port: 8080))
        #expect(upstream(.bridge) == .tcp(host: "172.17.0.2", port: 8080))
    }

    @Test func `otherwise at its published port`() {
        #expect(upstream() == .tcp(host: "127.77.0.1", port: 32_768))
        #expect(upstream(bridges: ["10.0.0.1"]) == .tcp(host: "127.77.0.1", port: 32_768))
        #expect(upstream(.published, bridges: ["172.17.0.1"]) == .tcp(host: "127.77.0.1", port: 32_768))
    }

    @Test func `at a remote engine's host, even where a bridge here has the same address`() {
        #expect(upstream(bridges: ["172.17.0.1"], host: "10.1.2.3") == .tcp(host: "10.1.2.3", port: 32_768))
    }

    @Test(arguments: ContainerReach.allCases)
    mutating func `one that does not run is nowhere: what it had belongs to another by now`(reach: ContainerReach) {
        place.isRunning = false
        #expect(upstream(reach, bridges: ["172.17.0.1"]) == nil)
    }

    @Test mutating func `one without an address of its own and without a port is nowhere`() {
        place.address = ""
        #expect(upstream(.bridge) == nil)
        #expect(upstream(bridges: ["172.17.0.1"]) == .tcp(host: "127.77.0.1", port: 32_768))
        place.published = [.init(address: "0.0.0.0", port: 0)]
        #expect(upstream() == nil)
        place.published = []
        #expect(upstream() == nil)
    }

    @Test mutating func `the first of several ports counts, and all addresses are reached on the loopback`() {
        place.published = [.init(address: "0.0.0.0", port: 32_894), .init(address: "::", port: 32_893)]
        #expect(upstream(.published) == .tcp(host: "127.0.0.1", port: 32_894))
    }
}
