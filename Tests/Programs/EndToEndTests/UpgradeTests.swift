// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionModel
import Glibc
import NIOCore
import ProcessControl
import SystemClient
import TestSupport
import Testing

/// What an upgrade costs nobody: many connections, a successor that is stopped, that gives up, or has other settings.
struct UpgradeTests {
    private let folder = TemporaryFolder()

    private func start(_ arguments: String..., environment: [String: String] = [:]) async throws -> RunningMartlet {
        // Longer than a busy machine takes for what a test does beside a call that is held.
        let arguments = ["--drain-timeout", "60s"] + arguments
        return try await RunningMartlet(dataDirectory: folder.path, arguments: arguments, environment: environment)
    }

    private func isReady(_ martlet: RunningMartlet) async throws -> Bool {
        try await martlet.ask("GET", "/readyz", withLogin: false).status == 200
    }

    /// A call that is in flight until it is sent the rest of its body, `cde`.
    private func held(on martlet: RunningMartlet) async throws -> RawConnection {
        try await martlet.client.create(FunctionDeployment(service: "held", image: "host", envProcess: "cat"))
        let held = try RawConnection(port: martlet.port)
        try await held.send("POST /function/held HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab")
        let inFlight = "gateway_function_invocation_inflight{function_name=\"held.openfaas-fn\"}"
        #expect(try await eventually { try await martlet.metric(inFlight) == 1 })
        return held
    }

    private func isAnswered(_ held: RawConnection) async throws -> Bool {
        try await held.send("cde")
        return try await held.receive(until: "cde").hasPrefix("HTTP/1.1 200 ")
    }

    // MARK: Connections

    @Test func `two thousand connections at rest go over`() async throws {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(7), &limit)
        limit.rlim_cur = limit.rlim_max
        setrlimit(__rlimit_resource_t(7), &limit)
        let old = try await start()
        let connections = try (0..<min(2000, Int(limit.rlim_max) / 3)).map { _ in try RawConnection(port: old.port) }
        let request = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
        for connection in connections.suffix(20) {
            try await connection.send(request)
            #expect(try await connection.receive(until: "\r\n\r\n").hasPrefix("HTTP/1.1 200 "))
        }
        let new = try await start("--replace")
        #expect(await old.exitCode() == 0, "\(old.output)")
        #expect(connections.count(where: \.hasInput) == 0, "closed, of \(connections.count)")
        for connection in connections.prefix(20) + connections.suffix(20) {
            try await connection.send(request)
            #expect(try await connection.receive(until: "\r\n\r\n").hasPrefix("HTTP/1.1 200 "))
        }
        #expect(await new.stop() == 0)
    }

    @Test func `whoever follows the routes is told to ask the successor`() async throws {
        let old = try await start()
        let watch = try RawConnection(port: old.port)
        try await watch.send(
            "GET /system/watch HTTP/1.1\r\nHost: a\r\nAuthorization: Basic \(old.token)\r\n\r\n"
        )
        #expect(try await watch.receive(until: "snapshot").hasPrefix("HTTP/1.1 200 "))
        let new = try await start("--replace")
        #expect(try await watch.receive(until: "0\r\n\r\n").hasSuffix("0\r\n\r\n"))
        #expect(await old.exitCode() == 0)
        #expect(await new.stop() == 0)
    }

    // MARK: Stopped in the middle

    @Test func `who connects and says nothing is in nobody's way`() async throws {
        let old = try await start()
        let silent = try #require(MessageSocket.connect(folder: folder.path, name: "successor"))
        let new = try await start("--replace")
        #expect(await old.exitCode() == 0, "\(old.output)")
        withExtendedLifetime(silent) {}
        #expect(await new.stop() == 0)
    }

    @Test func `a successor that is stopped leaves the calls of the one before alone`() async throws {
        let old = try await start()
        let held = try await held(on: old)
        let new = try await start("--replace", "--drain-timeout", "1s")
        #expect(await new.stop() == 0, "\(new.output)")
        #expect(try await isAnswered(held))
        #expect(await old.exitCode() == 0, "\(old.output)")
    }

    @Test func `a signal ends a successor that waits, and the one that runs serves on`() async throws {
        let first = try await start()
        let held = try await held(on: first)
        let second = try await start("--replace")
        var environment = ProcessInfo.processInfo.environment
        environment["HOME"] = folder.path
        let third = try await RunningProgram(
            [
                RunningProgram.folder.appendingPathComponent("martlet").path, "up", "--replace", "--port", "0",
                "--metrics-port", "0", "--ui-port", "0", "--data-dir", folder.path,
            ],
            environment: environment
        )
        #expect(await eventually { hearsSignals(third.processID) })
        third.signal(SIGTERM)
        #expect(await third.exitCode() == 1)
        #expect(third.output.contains("serves on"), "\(third.output)")
        #expect(try await isReady(second))
        #expect(try await isAnswered(held))
        #expect(await first.exitCode() == 0)
        #expect(try await isReady(second))
        #expect(await second.stop() == 0)
    }

    /// Whether SIGTERM would be caught.
    private func hearsSignals(_ process: Int32) -> Bool {
        let status = (try? String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)) ?? ""
        let line = status.split(separator: "\n").first { $0.hasPrefix("SigCgt:") }
        let caught = line.flatMap { UInt64($0.dropFirst(7).trimmingCharacters(in: .whitespaces), radix: 16) } ?? 0
        return caught & (1 << (UInt64(SIGTERM) - 1)) != 0
    }

    // MARK: Other settings

    @Test func `what is wrong with the settings is found while the one that runs can serve on`() async throws {
        let old = try await start()
        let foreign = try ReservedPort.claim()
        let listener = try ListeningPort(foreign)
        defer { listener.close() }
        let secrets = TemporaryFolder()
        _ = secrets.write("basic-auth-password", "\n")
        var wrong: [(arguments: [String], environment: [String: String], words: String)] = [
            ([], ["http_proxy": "ftp://x:99999"], "http_proxy"),
            ([], ["secret_mount_path": secrets.path], "basic-auth-password"),
            (["--metrics-port", "\(foreign)"], [:], "cannot listen on 127.0.0.1:\(foreign)"),
            (
                ["--metrics-port", "\(foreign)", "--ui-port", "\(foreign)"], [:],
                "--ui-port and --metrics-port are both"
            ),
            (["--host", "192.0.2.1", "--port", "\(old.port)"], [:], "cannot listen on 192.0.2.1"),
        ]
        if RunningNATS.isThere {
            wrong.append(([], ["MARTLET_NATS_URL": "nats://127.0.0.1:1", "MARTLET_NATS_CA": "/nowhere"], "/nowhere"))
        }
        for (arguments, environment, words) in wrong {
            let failure = await #expect(throws: RunningMartlet.StartFailure.self) {
                try await RunningMartlet(
                    dataDirectory: folder.path,
                    arguments: ["--replace"] + arguments,
                    environment: environment
                )
            }
            #expect(failure?.output.contains(words) == true, "\(words): \(failure?.output ?? "")")
            #expect(try await isReady(old))
        }
        #expect(!old.output.contains("serves from now on"))
        #expect(await old.stop() == 0)
    }

    @Test func `ports that change hands go over, and those that nobody wants are closed`() async throws {
        let old = try await start("--host", "0.0.0.0")
        #expect(accepts("127.0.0.2", old.port))
        let second = try await start("--replace", "--port", "\(old.port)", "--ui-port", "\(old.pagePort)")
        #expect(second.port == old.port && second.pagePort == old.pagePort)
        #expect(!accepts("127.0.0.2", old.port) && !accepts("127.0.0.1", old.metricsPort))
        #expect(await old.exitCode() == 0, "\(old.output)")
        let third = try await start("--replace", "--management-port", "\(second.pagePort)")
        #expect(third.port == second.port && third.managementPort == second.pagePort)
        #expect(try await third.client.functions(in: nil).isEmpty)
        #expect(await second.exitCode() == 0, "\(second.output)")
        let fourth = try await start("--replace", "--ui-port", "off")
        #expect(!accepts("127.0.0.1", third.managementPort) && !accepts("127.0.0.1", third.pagePort))
        #expect(try await isReady(fourth))
        #expect(await third.exitCode() == 0, "\(third.output)")
        #expect(await fourth.stop() == 0)
    }

    private func accepts(_ host: String, _ port: Int) -> Bool {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        defer { close(descriptor) }
        let address = try? SocketAddress(ipAddress: host, port: port)
        return address?.withSockAddr { connect(descriptor, $0, socklen_t($1)) } == 0
    }
}

/// A port that another program has.
private struct ListeningPort {
    private let descriptor: Int32

    init(_ port: Int) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var one: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<Int32>.size))
        let address = try SocketAddress(ipAddress: "127.0.0.1", port: port)
        try #require(address.withSockAddr { bind(descriptor, $0, socklen_t($1)) } == 0)
        try #require(listen(descriptor, 1) == 0)
    }

    func close() { Glibc.close(descriptor) }
}
