// SPDX-License-Identifier: Apache-2.0

import Dispatch
import Foundation
import FunctionModel
import Glibc
import ProcessControl
import Synchronization
import SystemClient
import TestSupport
import Testing

/// `martlet up --replace`: a program takes another's place, and no call is dropped.
struct HandOverTests {
    private let folder = TemporaryFolder()
    private var upgrades: Int {
        ProcessInfo.processInfo.environment["MARTLET_TEST_UPGRADES"].flatMap { Int($0) } ?? 3
    }

    private func start(_ arguments: String..., environment: [String: String] = [:]) async throws -> RunningMartlet {
        // Longer than a busy machine takes for what a test does beside a call that is held.
        let arguments = arguments + ["--drain-timeout", "60s"]
        return try await RunningMartlet(dataDirectory: folder.path, arguments: arguments, environment: environment)
    }

    private func deploy(on martlet: RunningMartlet) async throws {
        try await martlet.client.create(
            FunctionDeployment(
                service: "hello",
                image: "host",
                envProcess: RunningMartlet.origin,
                envVars: ["mode": "http"]
            )
        )
        #expect(try await eventually { try await martlet.call("hello").status == 200 })
    }

    @Test(.timeLimit(.minutes(10)))
    func `calls go on while one program takes another's place, again and again, and none fails`() async throws {
        let path = folder.path + "/m.sock"
        var martlet = try await start("--socket", path)
        try await deploy(on: martlet)
        let port = martlet.port
        let crowd = Crowd(port: port, path: path)
        let rate = await crowd.measure() / 2
        crowd.begin(rate: rate)
        #expect(await eventually { crowd.answered > rate / 2 })
        for _ in 0..<upgrades {
            let before = crowd.answered
            let successor = try await start("--replace", "--socket", path)
            #expect(successor.port == port && successor.pagePort == martlet.pagePort)
            #expect(successor.metricsPort == martlet.metricsPort)
            #expect(await martlet.exitCode() == 0, "\(martlet.output)")
            #expect(martlet.output.contains("serves from now on"))
            #expect(await eventually { crowd.answered > before + rate / 4 })
            martlet = successor
        }
        let accepted = await crowd.end()
        #expect(crowd.failures.isEmpty, "\(crowd.failures.prefix(10)) of \(crowd.answered) at \(rate) per second")
        #expect(crowd.answered > 0 && !accepted.isEmpty)
        for id in accepted {
            #expect(try await eventually { try await martlet.client.call(id).state == "succeeded" }, "\(id)")
        }
        #expect(await martlet.stop() == 0 && access(path, F_OK) != 0)
        print("\(upgrades) upgrades: \(crowd.answered) calls at \(rate)/s, \(crowd.failures.count) failed")
    }

    @Test func `a call in flight ends where it began, and a connection at rest goes over with what was sent on it`()
        async throws
    {
        let old = try await start()
        try await old.client.create(FunctionDeployment(service: "held", image: "host", envProcess: "cat"))
        let rested = try RawConnection(port: old.port)
        let request = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
        try await rested.send(request)
        #expect(try await rested.receive(until: "\r\n\r\n").hasPrefix("HTTP/1.1 200 "))
        let held = try RawConnection(port: old.port)
        try await held.send("POST /function/held HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab")
        let inFlight = "gateway_function_invocation_inflight{function_name=\"held.openfaas-fn\"}"
        #expect(try await eventually { try await old.metric(inFlight) == 1 })

        let new = try await start("--replace")
        #expect(new.port == old.port)
        try await rested.send(request)
        #expect(try await rested.receive(until: "\r\n\r\n").hasPrefix("HTTP/1.1 200 "))
        #expect(try await new.call("held", method: "POST", body: "x").body == "x")
        try await held.send("cde")
        #expect(try await held.receive(until: "cde").contains("cde"))
        #expect(await old.exitCode() == 0, "\(old.output)")
        try await rested.send(request)
        #expect(try await rested.receive(until: "\r\n\r\n").hasPrefix("HTTP/1.1 200 "))
        #expect(await new.stop() == 0)
    }

    /// What a successor is given that goes away with it.
    private func offer() async throws -> MessageSocket.Message? {
        var lock = stat()
        try #require(stat(folder.path + "/lock", &lock) == 0)
        let quitter = try #require(MessageSocket.connect(folder: folder.path, name: "successor"))
        quitter.send(.init("martlet 1 \(lock.st_dev)-\(lock.st_ino)"))
        guard await quitter.next()?.text == "heard" else { return nil }
        return await quitter.next()
    }

    @Test func `what goes wrong before the stores are given up leaves the old one serving`() async throws {
        let old = try await start()
        let strange = try #require(MessageSocket.connect(folder: folder.path, name: "successor"))
        strange.send(.init("martlet 0 elsewhere"))
        #expect(strange.receive()?.text == "refused")
        let offer = try await offer()
        #expect(offer?.text.hasPrefix("listeners odd api") == true && offer?.descriptors.count == 3)
        for socket in offer?.descriptors ?? [] { close(socket) }
        #expect(await old.prints("gave up before it took over"))
        #expect(try await old.ask("GET", "/readyz", withLogin: false).status == 200)
        let broken = try? await start("--replace", "--tls-cert", "/nowhere", "--tls-key", "/nowhere")
        #expect(broken == nil)
        #expect(try await old.ask("GET", "/readyz", withLogin: false).status == 200)
        let new = try await start("--replace")
        #expect(await old.exitCode() == 0)
        #expect(try await new.ask("GET", "/readyz", withLogin: false).status == 200)
        #expect(await new.stop() == 0)
    }

    @Test func `where nobody runs, it is an ordinary start`() async throws {
        let martlet = try await start("--replace")
        #expect(await martlet.stop() == 0)
    }

    @Test func `a function with a port of its own starts when the one before has let go of it`() async throws {
        let port = try ReservedPort.claim()
        let old = try await start()
        try await old.client.create(
            FunctionDeployment(
                service: "fixed",
                image: "host",
                envProcess: "\(RunningMartlet.origin) \(port)",
                envVars: ["mode": "http", "upstream_url": "http://127.0.0.1:\(port)"]
            )
        )
        #expect(try await eventually { try await old.call("fixed").status == 200 })
        let new = try await start("--replace")
        let call = try await new.call("fixed")
        #expect(call.status == 200, "\(call)")
        #expect(await old.exitCode() == 0)
        #expect(try await new.call("fixed").status == 200)
        #expect(await new.stop() == 0)
    }

    @Test func `a service manager keeps the sockets, and a start listens on those it is given`() async throws {
        let path = folder.path + "/notify"
        let manager = try NotifySocket(path: path)
        let first = try await start(environment: ["NOTIFY_SOCKET": path])
        #expect(manager.hears("READY=1"))
        #expect(manager.hears("FDSTORE=1\nFDNAME=martlet-api"))
        #expect(await first.stop() == 0)
        // What a service manager does, but that it has kept the socket.
        let script = """
            import os, socket, sys
            kept = socket.socket()
            kept.bind(("127.0.0.1", 0))
            kept.listen()
            print("kept", kept.getsockname()[1], flush=True)
            os.dup2(kept.fileno(), 3)
            os.set_inheritable(3, True)
            os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="martlet-api")
            os.execv(sys.argv[1], sys.argv[1:])
            """
        let second = try await RunningMartlet(
            dataDirectory: folder.path,
            launcher: ["/usr/bin/env", "python3", "-c", script]
        )
        #expect(second.startText.contains("kept \(second.port)\n"), "\(second.startText)")
        #expect(try await second.ask("GET", "/readyz", withLogin: false).status == 200)
        #expect(await second.stop() == 0)
    }

    @Test func `a gateway alone listens on the socket that a service manager gives it`() async throws {
        let platform = try await start()
        let script = """
            import os, socket, sys
            kept = socket.socket()
            kept.bind(("127.0.0.1", 0))
            kept.listen()
            print("kept", kept.getsockname()[1], flush=True)
            os.dup2(kept.fileno(), 3)
            os.set_inheritable(3, True)
            os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="martlet-api")
            os.execv(sys.argv[1], sys.argv[1:])
            """
        let gateway = try await RunningMartlet(
            ["gateway"],
            dataDirectory: folder.path,
            arguments: ["--provider-url", "http://127.0.0.1:\(platform.port)/"],
            launcher: ["/usr/bin/env", "python3", "-c", script]
        )
        #expect(gateway.startText.contains("kept \(gateway.port)\n"), "\(gateway.startText)")
        #expect(await gateway.stop() == 0)
        #expect(await platform.stop() == 0)
    }

    @Test func `a service manager keeps the sockets of whoever is the service, and no others`() async throws {
        let path = folder.path + "/notify"
        let manager = try NotifySocket(path: path)
        let first = try await start(environment: ["NOTIFY_SOCKET": path])
        #expect(manager.hears("FDSTORE=1\nFDNAME=martlet-page"))
        let second = try await start("--replace", environment: ["NOTIFY_SOCKET": path])
        #expect(await first.exitCode() == 0)
        // By then the first one has said who the service is.
        #expect(manager.hears("MAINPID="))
        #expect(manager.hears("FDSTOREREMOVE=1\nFDNAME=martlet-api"))
        #expect(manager.hears("FDSTORE=1\nFDNAME=martlet-api"))
        #expect(await second.stop() == 0)
    }
}

/// Clients that call all the time: on kept connections, on new ones, and for later.
private final class Crowd: Sendable {
    private struct State {
        var answered = 0
        var failures: [String] = []
        var accepted: [String] = []
        var isOver = false
    }

    private enum Kind: CaseIterable {
        case kept, fresh, later
    }

    private let port: Int
    private let path: String
    private let state = Mutex(State())
    private let tasks = Mutex<[Task<Void, Never>]>([])
    private static let users = 9

    /// Half of them come by a port, the others by a socket in the file system.
    init(port: Int, path: String) {
        self.port = port
        self.path = path
    }

    var answered: Int { state.withLock { $0.answered } }
    var failures: [String] { state.withLock { $0.failures } }

    /// How many calls a second are answered when nobody waits between them.
    func measure() async -> Int {
        let begun = ContinuousClock.now
        await withTaskGroup(of: Void.self) { group in
            for user in 0..<Self.users {
                group.addTask { await self.user(user) { ContinuousClock.now - begun < .seconds(1) } }
            }
        }
        return max(answered, 10)
    }

    /// Begins to call so many times a second.
    func begin(rate: Int) {
        state.withLock { $0.answered = 0 }
        let tasks = (0..<Self.users).map { user in
            let pace = Pace(interval: Double(Self.users) / Double(rate))
            return Task { await self.user(user) { await pace.next() && !self.isOver } }
        }
        self.tasks.withLock { $0 = tasks }
    }

    private var isOver: Bool { state.withLock { $0.isOver } }

    /// Ends; returns the ids of calls that were accepted for later.
    func end() async -> [String] {
        state.withLock { $0.isOver = true }
        for task in tasks.withLock({ $0 }) { await task.value }
        return state.withLock { $0.accepted }
    }

    private func connect(_ user: Int) throws -> RawConnection {
        try user % 2 == 0 ? RawConnection(port: port) : RawConnection(path: path)
    }

    private func user(_ user: Int, whileTrue goesOn: () async -> Bool) async {
        let kind = Kind.allCases[user % 3]
        var connection: RawConnection?
        while await goesOn() {
            do {
                let current = try connection ?? connect(user)
                let answer = try await call(kind, on: current)
                note(answer, kind)
                let ends = kind == .fresh || answer.lowercased().contains("connection: close")
                connection = ends ? nil : current
            } catch {
                fail("\(kind): \(error)")
                connection = nil
            }
        }
    }

    private func call(_ kind: Kind, on connection: RawConnection) async throws -> String {
        switch kind {
        case .kept, .fresh:
            let field = kind == .fresh ? "Connection: close\r\n" : ""
            try await connection.send("GET /function/hello HTTP/1.1\r\nHost: a\r\n\(field)\r\n")
            return try await connection.receive(until: "Hello world\n")
        case .later:
            try await connection.send("POST /async-function/hello HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
            return try await connection.receive(until: "\r\n\r\n")
        }
    }

    private func note(_ answer: String, _ kind: Kind) {
        guard answer.hasPrefix(kind == .later ? "HTTP/1.1 202 " : "HTTP/1.1 200 ") else {
            return fail("\(kind): \(answer.isEmpty ? "closed without an answer" : answer)")
        }
        let id = answer.split(separator: "\r\n").first { $0.hasPrefix("X-Martlet-Call-Id: ") }?.dropFirst(19)
        state.withLock { state in
            state.answered += 1
            if kind == .later { state.accepted.append(String(id ?? "")) }
        }
    }

    private func fail(_ why: String) { state.withLock { $0.failures.append(why) } }
}

/// Says when the next call is due.
private final class Pace: @unchecked Sendable {  // a timer of Dispatch may be used on any thread
    private let ticks: AsyncStream<Void>
    private let timer: any DispatchSourceTimer

    init(interval seconds: Double) {
        let (stream, continuation) = AsyncStream.makeStream(of: Void.self)
        ticks = stream
        timer = DispatchSource.makeTimerSource()
        timer.schedule(deadline: .now(), repeating: seconds)
        timer.setEventHandler { continuation.yield() }
        timer.resume()
    }

    deinit { timer.cancel() }

    func next() async -> Bool {
        for await _ in ticks { return true }
        return false
    }
}
