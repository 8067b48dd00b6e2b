// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionModel
import Glibc
import SystemClient
import TestSupport
import Testing

/// `/readyz`, and what systemd is told: whether calls can be served, as against whether the program is alive.
struct ReadinessTests {
    private let folder = TemporaryFolder()

    private func metrics(_ martlet: RunningMartlet) -> SystemClient {
        SystemClient(
            baseURL: "http://127.0.0.1:\(martlet.metricsPort)",
            login: nil,
            http: RunningMartlet.http
        )
    }

    private func ask(_ client: SystemClient) async throws -> (status: Int, body: String) {
        let answer = try await client.send("GET", "/readyz")
        return (answer.status, String(decoding: try await client.collect(answer), as: UTF8.self))
    }

    @Test func `a platform is ready on both ports, and says that it stops while calls end`()
        async throws
    {
        let martlet = try await RunningMartlet(dataDirectory: folder.path)
        let open = try await martlet.ask("GET", "/readyz", withLogin: false)
        #expect(open.status == 200 && open.body == "{\"ready\":true,\"missing\":[]}\n", "\(open)")
        #expect(open.headers["content-type"] == "application/json")
        #expect(try await ask(metrics(martlet)).status == 200)
        #expect(try await martlet.ask("POST", "/readyz", withLogin: false).status == 405)

        try await martlet.client.create(FunctionDeployment(service: "held", image: "host", envProcess: "cat"))
        // Its body never comes to an end, so the call does not either.
        let held = try RawConnection(port: martlet.port)
        try await held.send("POST /function/held HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab")
        let inFlight = "gateway_function_invocation_inflight{function_name=\"held.openfaas-fn\"}"
        #expect(try await eventually { try await martlet.metric(inFlight) == 1 })
        martlet.interrupt()
        #expect(await martlet.prints("Stopping:"))
        let stopping = try await ask(metrics(martlet))
        #expect(stopping.status == 503 && stopping.body.contains("Martlet is stopping."), "\(stopping)")
        try await held.send("cde")
        #expect(try await held.receive().contains("200"))
        #expect(await martlet.exitCode() == 0)
    }

    @Test func `a terminal that is closed is what Ctrl-C is, and under nohup nothing`() async throws {
        let folder = TemporaryFolder()
        let martlet = try await RunningMartlet(dataDirectory: folder.path)
        try await martlet.client.create(FunctionDeployment(service: "held", image: "host", envProcess: "cat"))
        let held = try RawConnection(port: martlet.port)
        try await held.send("POST /function/held HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab")
        let inFlight = "gateway_function_invocation_inflight{function_name=\"held.openfaas-fn\"}"
        #expect(try await eventually { try await martlet.metric(inFlight) == 1 })
        kill(martlet.processID, SIGHUP)
        #expect(await eventually { martlet.output.contains("Stopping") })
        try await held.send("cde")
        #expect(try await held.receive(until: "cde").hasPrefix("HTTP/1.1 200 "))
        #expect(await martlet.exitCode() == 0)

        let deaf = try await RunningMartlet(dataDirectory: folder.path, launcher: ["/usr/bin/nohup"])
        kill(deaf.processID, SIGHUP)
        #expect(try await deaf.ask("GET", "/readyz", withLogin: false).status == 200)
        #expect(await deaf.stop() == 0)
    }

    @Test func `systemd hears of it when the platform is ready, and when it stops`() async throws {
        let path = folder.path + "/notify"
        let socket = try NotifySocket(path: path)
        let martlet = try await RunningMartlet(
            dataDirectory: folder.path,
            environment: ["NOTIFY_SOCKET": path]
        )
        #expect(socket.hears("READY=1"))
        #expect(await martlet.stop() == 0)
        #expect(socket.hears("STOPPING=1"))
    }

    @Test
    func `a gateway whose provider is away listens, and is not ready before the provider has told`()
        async throws
    {
        let path = folder.path + "/notify"
        let socket = try NotifySocket(path: path)
        let (providerPort, port) = (try ReservedPort.claim(), try ReservedPort.claim())
        async let gateway = RunningMartlet(
            ["gateway"],
            dataDirectory: folder.path + "/data",
            arguments: [
                "--port", "\(port)", "--provider-url", "http://127.0.0.1:\(providerPort)/", "--no-auth",
            ],
            environment: ["NOTIFY_SOCKET": path]
        )
        let client = SystemClient(
            baseURL: "http://127.0.0.1:\(port)",
            login: nil,
            http: RunningMartlet.http
        )
        #expect(await eventually { (try? await ask(client).status) == 503 })
        #expect(try await ask(client).body.contains("The provider has not told yet"))
        #expect(socket.isSilent)
        let provider = try await RunningMartlet(
            ["provider", "process"],
            dataDirectory: folder.path + "/data",
            arguments: ["--port", "\(providerPort)", "--no-auth"]
        )
        let running = try await gateway
        #expect(try await ask(client).status == 200)
        #expect(socket.hears("READY=1"))
        #expect(await running.stop() == 0)
        #expect(await provider.stop() == 0)
    }
}

/// What systemd listens on.
final class NotifySocket: Sendable {
    private let descriptor: Int32

    struct Failure: Error {}

    init(path: String) throws {
        descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        guard path.utf8.count < MemoryLayout.size(ofValue: address.sun_path) else { throw Failure() }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard result == 0 else { throw Failure() }
    }

    deinit { close(descriptor) }

    /// Whether a message with a text comes; false where nothing came in a minute.
    func hears(_ text: String) -> Bool {
        while let message = read(within: 60_000) {
            if message.contains(text) { return true }
        }
        return false
    }

    /// Whether no message is there.
    var isSilent: Bool {
        var poll = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return Glibc.poll(&poll, 1, 0) == 0
    }

    private func read(within milliseconds: Int32) -> String? {
        var poll = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        guard Glibc.poll(&poll, 1, milliseconds) == 1 else { return nil }
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = recv(descriptor, &bytes, bytes.count, 0)
        return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
    }
}
