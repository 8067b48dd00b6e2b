// SPDX-License-Identifier: Apache-2.0

import AsyncHTTPClient
import FaultModel
import Foundation
import FunctionModel
import NIOCore
import SystemClient
import TestSupport
import Testing

/// The real binary over HTTP, as clients use it (contract §25).
@Suite(.serialized)
struct EndToEndTests {
    private let folder = TemporaryFolder()

    private func start(_ arguments: String...) async throws -> RunningMartlet {
        try await RunningMartlet(dataDirectory: folder.path + "/data", arguments: arguments)
    }

    private func deploy(
        _ name: String,
        _ fprocess: String,
        _ environment: [String: String] = [:],
        to martlet: RunningMartlet,
        update: Bool = false
    ) async throws {
        let deployment = FunctionDeployment(service: name, image: "host", envProcess: fprocess, envVars: environment)
        if update { try await martlet.client.update(deployment) } else { try await martlet.client.create(deployment) }
    }

    /// Waits for a state; asked for, since the API pushes no states.
    private func await(_ state: MartletStatus.State, of name: String, on martlet: RunningMartlet) async throws -> Bool {
        try await eventually { try await martlet.client.function(name, in: nil).martlet?.state == state }
    }

    /// A long-lived server that answers with a word and can be told to exit.
    private func server(_ word: String) -> String {
        folder.write(
            "\(word).py",
            """
            import http.server, os
            class Handler(http.server.BaseHTTPRequestHandler):
                protocol_version = "HTTP/1.1"
                def do_GET(self):
                    if self.path == "/exit": os._exit(3)
                    body = b"\(word) " + self.path.encode()
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                def log_message(self, *_): print("served", self.path, flush=True)
            http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
            """
        )
    }

    @Test func `a function is deployed, called, scaled to zero and from zero, and removed (§5, §6, §8)`() async throws {
        let martlet = try await start()
        try await deploy("hello", "python3 \(server("one"))", ["mode": "http"], to: martlet)
        let answer = try await martlet.call("hello/a%2Fb?x=1")
        #expect(answer.status == 200 && answer.body == "one /a%2Fb?x=1", "\(answer)")
        try await martlet.client.scale("hello", in: nil, to: 0)
        #expect(try await self.await(.idle, of: "hello", on: martlet))
        #expect(try await martlet.call("hello/again").body == "one /again")
        #expect(try await martlet.client.functions(in: nil).first?.invocationCount == 2)
        try await martlet.client.delete("hello", in: nil)
        #expect(try await martlet.call("hello").status == 404)
        #expect(await martlet.stop() == 0)
    }

    @Test func `a process per call sees the request, and its failure is a 500 (§15.4, §15.5)`() async throws {
        let martlet = try await start()
        try await deploy("env", "env", to: martlet)
        try await deploy("cat", "cat", ["mode": "serializing", "content_type": "text/plain"], to: martlet)
        try await deploy("fail", "false", to: martlet)
        let seen = try await martlet.call("env/p%20q?x=1", method: "PUT", headers: [("X-Thing", "7")], body: "b").body
        for line in ["Http_Method=PUT", "Http_Path=/p q", "Http_Query=x=1", "Http_X_Thing=7", "OPENFAAS_NAME=env"] {
            #expect(seen.contains(line), "\(line) is missing")
        }
        let large = String(repeating: "0123456789abcdef", count: 65_536)
        let echo = try await martlet.call("cat", method: "POST", body: large)
        #expect(echo.body == large && echo.headers["content-type"] == "text/plain")
        #expect(echo.headers["x-duration-seconds"].flatMap { Double($0) } != nil)
        let failure = try await martlet.call("fail", headers: [("accept", "application/json")])
        #expect(failure.status == 500 && failure.body.contains("exit status 1"))
        #expect(failure.headers["x-openfaas-internal"] != nil && failure.headers["x-duration-seconds"] != nil)
        let forged = try await martlet.call(
            "env/a",
            headers: [("Path", "/admin"), ("Query", "x"), ("Proxy", "http://x")]
        )
        #expect(forged.body.contains("Http_Path=/a\n") && !forged.body.contains("Http_Query"), "\(forged)")
        #expect(!forged.body.lowercased().contains("proxy"))
        let slash = try await martlet.ask("GET", "//function/env/b", withLogin: false)
        #expect(slash.status == 200 && slash.body.contains("Http_Path=/b\n"), "\(slash)")
        _ = await martlet.stop()
    }

    @Test func `a process that stops reading loses no output, and one that ignores its end is killed`() async throws {
        let martlet = try await start("--drain-timeout", "2s")
        try await deploy("head", "head -c 5", to: martlet)
        let large = String(repeating: "0123456789abcdef", count: 262_144)
        let answer = try await martlet.call("head", method: "POST", body: large)
        #expect(answer.status == 200 && answer.body == "01234", "\(answer.status) \(answer.body.prefix(40))")
        // It reads more slowly than its caller sends: its pipe is full when the body ends.
        let sip = folder.write(
            "sip.py",
            "import os, time\ntotal = 0\nwhile piece := os.read(0, 4096):\n"
                + "    total += len(piece)\n    time.sleep(0.0005)\nprint(total)\n"
        )
        try await deploy("sip", "python3 \(sip)", to: martlet)
        let sipped = try await martlet.call("sip", method: "POST", body: String(large.prefix(1 << 20)))
        #expect(sipped.body == "\(1 << 20)\n", "\(sipped)")
        let script = folder.write(
            "stubborn.py",
            "import signal, socket, os\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
                + "s = socket.create_server(('127.0.0.1', int(os.environ['PORT'])))\nwhile True: s.accept()\n"
        )
        try await deploy("stubborn", "python3 \(script)", ["mode": "http", "grace_period": "200ms"], to: martlet)
        #expect(try await self.await(.ready, of: "stubborn", on: martlet))
        try await martlet.client.delete("stubborn", in: nil)
        #expect(await martlet.stop() == 0)
        #expect(processes(carrying: "HOME=\(folder.path)/data/run/").isEmpty)
    }

    /// Processes whose environment begins a variable so.
    private func processes(carrying marker: String) -> [String] {
        let processes = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return processes.filter { Int($0) != nil }.filter { process in
            let environment = FileManager.default.contents(atPath: "/proc/\(process)/environ") ?? Data()
            return environment.split(separator: 0).contains { $0.starts(with: Data(marker.utf8)) }
        }
    }

    @Test func `an update loses no call`() async throws {
        let martlet = try await start()
        try await deploy("web", "python3 \(server("old"))", ["mode": "http"], to: martlet)
        _ = try await martlet.call("web")
        let statuses = try await withThrowingTaskGroup(of: [Int].self) { group in
            for _ in 0..<4 {
                group.addTask {
                    var statuses: [Int] = []
                    var isNew = false
                    while !isNew {
                        let answer = try await martlet.call("web")
                        statuses.append(answer.status)
                        isNew = answer.body.hasPrefix("new")
                    }
                    return statuses
                }
            }
            try await deploy("web", "python3 \(server("new"))", ["mode": "http"], to: martlet, update: true)
            return try await group.reduce(into: []) { $0 += $1 }
        }
        #expect(statuses.allSatisfy { $0 == 200 })
        #expect(statuses.count >= 4)
        _ = await martlet.stop()
    }

    @Test func `a revision that fails leaves the old one serving and says why`() async throws {
        let martlet = try await start()
        try await deploy("web", "python3 \(server("good"))", ["mode": "http"], to: martlet)
        let first = try await martlet.call("web")
        #expect(first.body.hasPrefix("good"), "\(first)")
        try await deploy("web", "sh -c exit\u{20}3", ["mode": "http"], to: martlet, update: true)
        #expect(try await self.await(.failing, of: "web", on: martlet))
        let status = try await martlet.client.function("web", in: nil)
        #expect(
            status.martlet?.revision == 2 && status.martlet?.readyRevision == 1,
            "\(String(describing: status.martlet))"
        )
        #expect(status.martlet?.reason.contains("exited with status") == true)
        #expect(try await martlet.call("web").body.hasPrefix("good"))
        _ = await martlet.stop()
    }

    @Test func `a function updated at zero replicas wakes with its new revision, after a restart too`() async throws {
        let martlet = try await start()
        try await deploy("fn", "echo one", to: martlet)
        #expect(try await martlet.call("fn").body == "one\n")
        try await martlet.client.scale("fn", in: nil, to: 0)
        try await deploy("fn", "echo two", to: martlet, update: true)
        #expect(try await martlet.call("fn").body == "two\n")
        try await martlet.client.scale("fn", in: nil, to: 0)
        try await deploy("fn", "echo three", to: martlet, update: true)
        await martlet.kill()
        let second = try await start()
        #expect(try await second.call("fn").body == "three\n")
        try await second.client.scale("fn", in: nil, to: 0)
        try await deploy("fn", "no-such-program-anywhere", to: second, update: true)
        #expect(try await second.call("fn").body == "three\n", "the new one fails to start")
        _ = await second.stop()
    }

    @Test func `a crash is noticed, logged and healed (users: functions stay not ready)`() async throws {
        let martlet = try await start()
        try await deploy("web", "python3 \(server("web"))", ["mode": "http"], to: martlet)
        _ = try await martlet.call("web")
        #expect(try await martlet.call("web/exit").status == 502)
        let after = try await martlet.call("web/after")
        #expect(after.body == "web /after", "\(after)")
        var lines: [String] = []
        let query = LogQuery(function: FunctionID(name: "web", namespace: "openfaas-fn"), tail: 50)
        for try await line in try await martlet.client.logs(query) { lines.append(line.text) }
        #expect(lines.contains { $0.contains("exited with status 3") })
        #expect(lines.contains("served /after"))
        _ = await martlet.stop()
    }

    @Test func `everything is there again after a kill, counts and password included`() async throws {
        let first = try await start()
        try await deploy("web", "python3 \(server("web"))", ["mode": "http"], to: first)
        try await deploy("env", "env", to: first)
        for _ in 0..<5 { _ = try await first.call("env") }
        _ = try await first.call("web")
        try await first.client.createSecret("key", in: nil, value: Data("s3cret".utf8))
        await first.kill()
        // The parent-death signal is enough: nothing waits for the next start.
        #expect(await eventually { processes(carrying: "HOME=\(folder.path)/data/run/").isEmpty })
        let second = try await start()
        #expect(try await second.call("web/x").body == "web /x")
        let functions = try await second.client.functions(in: nil)
        #expect(functions.first { $0.name == "env" }?.invocationCount == 5)
        #expect(functions.first { $0.name == "web" }?.invocationCount == 2)
        #expect(try await second.client.secrets(in: nil).map(\.name) == ["key"])
        _ = await second.stop()
    }

    @Test func `secrets reach a function as files and are never shown (§9)`() async throws {
        let martlet = try await start()
        try await martlet.client.createSecret("key", in: nil, value: Data("s3cret".utf8))
        let script = folder.write("read.sh", "cat \"$secret_mount_path/key\"\n")
        let deployment = FunctionDeployment(
            service: "read",
            image: "host",
            envProcess: "sh \(script)",
            secrets: ["key"]
        )
        try await martlet.client.create(deployment)
        let read = try await martlet.call("read")
        #expect(read.body == "s3cret", "\(read)")
        let conflict = await #expect(throws: PlatformFault.self) {
            try await martlet.client.deleteSecret("key", in: nil)
        }
        #expect(conflict?.code == .conflict)
        let missing = await #expect(throws: PlatformFault.self) {
            try await martlet.client.create(
                FunctionDeployment(service: "x", image: "host", envProcess: "cat", secrets: ["no"])
            )
        }
        #expect(missing?.message == "unable to find secret: no")
        _ = await martlet.stop()
    }

    @Test func `a fixed port has one replica, and its update waits instead of failing`() async throws {
        let martlet = try await start()
        let port = Int.random(in: 20_000..<30_000)
        let variables = ["mode": "http", "upstream_url": "http://127.0.0.1:\(port)"]
        try await deploy("fixed", "python3 \(server("one"))", variables, to: martlet)
        #expect(try await martlet.call("fixed").body.hasPrefix("one"))
        let second = await #expect(throws: PlatformFault.self) {
            try await martlet.client.scale("fixed", in: nil, to: 2)
        }
        #expect(second?.code == .invalidValue)
        let thief = await #expect(throws: PlatformFault.self) {
            try await deploy("thief", "python3 x.py", variables, to: martlet)
        }
        #expect(thief?.code == .conflict)
        try await deploy("fixed", "python3 \(server("two"))", variables, to: martlet, update: true)
        #expect(try await martlet.call("fixed").body.hasPrefix("two"))
        _ = await martlet.stop()
    }

    @Test func `bad input is refused with a sentence, and nothing is changed`() async throws {
        let martlet = try await start()
        func status(_ method: String, _ path: String, _ body: String?) async throws -> Int {
            try await martlet.client.send(method, path, body: body.map { .bytes(Data($0.utf8)) }).status
        }
        #expect(try await status("POST", "/system/functions", "{") == 400)
        #expect(try await status("POST", "/system/functions", #"{"service":5,"image":"host"}"#) == 400)
        #expect(try await status("POST", "/system/functions", #"{"service":"../x","image":"host"}"#) == 400)
        #expect(try await status("POST", "/system/functions", #"{"service":"x"}"#) == 400)
        #expect(try await status("POST", "/system/functions", #"{"service":"x","image":"ghcr.io/a/b:1"}"#) == 400)
        #expect(try await status("POST", "/system/functions", #"{"service":"x","image":"host"}"#) == 400)
        #expect(
            try await status(
                "POST",
                "/system/functions",
                #"{"service":"x","image":"host","envProcess":"cat","namespace":"no"}"#
            ) == 400
        )
        #expect(
            try await status("PUT", "/system/functions", #"{"service":"x","image":"host","envProcess":"cat"}"#) == 404
        )
        #expect(try await status("DELETE", "/system/functions", #"{"functionName":"x"}"#) == 404)
        #expect(try await status("POST", "/system/scale-function/x", "{}") == 400)
        #expect(try await status("POST", "/system/scale-function/x", #"{"replicas":1}"#) == 404)
        #expect(try await status("POST", "/system/secrets", #"{"name":"../x","value":"v"}"#) == 400)
        #expect(try await status("DELETE", "/system/secrets", #"{"name":"../x"}"#) == 400)
        #expect(try await status("GET", "/system/logs", nil) == 400)
        #expect(try await status("GET", "/system/logs?name=x&tail=many", nil) == 400)
        #expect(try await status("GET", "/system/logs?name=x", nil) == 404)
        #expect(try await status("PATCH", "/system/functions", nil) == 405)
        #expect(try await status("GET", "/system/nothing", nil) == 404)
        #expect(try await martlet.client.functions(in: nil).isEmpty)
        _ = await martlet.stop()
    }

    @Test func `the wire is as OpenFaaS' clients expect it (§2, §3, §10, §12)`() async throws {
        let martlet = try await start()
        let open = try await martlet.client.send("GET", "/system/functions", withLogin: false)
        #expect(open.status == 401)
        #expect(
            open.headers.contains {
                $0.name.lowercased() == "www-authenticate" && $0.value == "Basic realm=\"Restricted\""
            }
        )
        #expect(String(decoding: try await martlet.client.collect(open), as: UTF8.self) == "invalid credentials")
        let root = try await martlet.client.send("GET", "/", withLogin: false)
        #expect(root.status == 307)
        #expect(try await martlet.client.namespaces() == ["openfaas-fn"])
        try await martlet.client.createNamespace(NamespaceRecord(name: "team"))
        #expect(try await martlet.client.namespaces() == ["openfaas-fn", "team"])
        try await martlet.client.create(
            FunctionDeployment(service: "env", image: "host", namespace: "team", envProcess: "env")
        )
        #expect(try await martlet.call("env.team").status == 200)
        #expect(try await martlet.call("env").status == 404)
        #expect(try await martlet.client.info().provider?.orchestration == "process")
        #expect(try await martlet.page().contains("/function/env.team"))
        let metrics = SystemClient(
            baseURL: "http://127.0.0.1:\(martlet.metricsPort)",
            login: nil,
            http: RunningMartlet.http
        )
        let text = String(decoding: try await metrics.collect(metrics.send("GET", "/metrics")), as: UTF8.self)
        #expect(text.contains("gateway_function_invocation_total{function_name=\"env.team\",code=\"200\"} 1\n"))
        #expect(text.contains("gateway_service_count{function_name=\"env.team\"} 1\n"))
        _ = await martlet.stop()
    }

    @Test func `a second start on the same data directory says who owns it`() async throws {
        let martlet = try await start()
        let failure = await #expect(throws: RunningMartlet.StartFailure.self) { try await start() }
        #expect(failure?.output.contains("process \(martlet.processID)") == true, "\(failure?.output ?? "")")
        _ = await martlet.stop()
    }

    @Test func `damage to the database stops the start with a sentence and loses nothing`() async throws {
        let martlet = try await start()
        try await deploy("env", "env", to: martlet)
        _ = await martlet.stop()
        let database = URL(fileURLWithPath: folder.path + "/data/martlet.sqlite")
        let content = try Data(contentsOf: database)
        try Data("no database at all, but long enough to be looked at as one".utf8).write(to: database)
        let failure = await #expect(throws: RunningMartlet.StartFailure.self) { try await start() }
        #expect(failure?.output.contains("martlet.sqlite") == true, "\(failure?.output ?? "")")
        try content.write(to: database)
        let again = try await start()
        #expect(try await again.call("env").status == 200)
        _ = await again.stop()
    }

    @Test func `a port in use and a folder that cannot be one stop the start with what to do`() async throws {
        let martlet = try await start()
        let taken = await #expect(throws: RunningMartlet.StartFailure.self) {
            try await RunningMartlet(
                dataDirectory: folder.path + "/other",
                arguments: ["--port", "\(martlet.port)"]
            )
        }
        #expect(taken?.output.contains("address already in use") == true, "\(taken?.output ?? "")")
        #expect(taken?.output.contains("--port") == true)
        let file = folder.write("file", "")
        let wrong = await #expect(throws: RunningMartlet.StartFailure.self) {
            try await RunningMartlet(dataDirectory: file)
        }
        #expect(wrong?.output.contains("is a file") == true, "\(wrong?.output ?? "")")
        let settings = await #expect(throws: RunningMartlet.StartFailure.self) {
            try await RunningMartlet(dataDirectory: folder.path + "/third", arguments: ["--log-level", "loud"])
        }
        #expect(settings?.output.contains("loud") == true)
        _ = await martlet.stop()
    }

    @Test func `a function that floods its log is slowed, its log stays bounded, and it goes on`() async throws {
        let martlet = try await start()
        let script = folder.write(
            "flood.py",
            "import os, socket\nfor n in range(300000): print('line', n, 'x' * 60)\nprint('done', flush=True)\n"
                + "s = socket.create_server(('127.0.0.1', int(os.environ['PORT'])))\nwhile True: s.accept()\n"
        )
        try await deploy("flood", "python3 \(script)", ["mode": "http"], to: martlet)
        #expect(try await self.await(.ready, of: "flood", on: martlet))
        var last = ""
        let query = LogQuery(function: FunctionID(name: "flood", namespace: "openfaas-fn"), tail: 1)
        #expect(
            try await eventually {
                for try await line in try await martlet.client.logs(query) { last = line.text }
                return last == "done"
            }
        )
        let logs = folder.path + "/data/logs/openfaas-fn/flood"
        let files = try FileManager.default.contentsOfDirectory(atPath: logs)
        let size = files.reduce(0) {
            $0 + ((try? FileManager.default.attributesOfItem(atPath: "\(logs)/\($1)")[.size] as? Int) ?? 0)
        }
        #expect(size < 11 << 20, "\(size)")
        _ = await martlet.stop()
    }

    @Test func `a large body streams through both ways with memory flat`() async throws {
        let martlet = try await start()
        try await deploy("count", "wc -c", to: martlet)
        let before = try memory(of: martlet)
        let piece = Data(repeating: 7, count: 1 << 20)
        let pieces = AsyncStream<ByteBuffer> { continuation in
            for _ in 0..<200 { continuation.yield(ByteBuffer(bytes: piece)) }
            continuation.finish()
        }
        let answer = try await martlet.client.send(
            "POST",
            "/function/count",
            body: .stream(pieces, length: .unknown),
            withLogin: false
        )
        let text = String(decoding: try await martlet.client.collect(answer), as: UTF8.self)
        #expect(text.trimmingCharacters(in: .whitespacesAndNewlines) == "\(200 << 20)")
        #expect(try memory(of: martlet) - before < 40 << 20)
        _ = await martlet.stop()
    }

    private func memory(of martlet: RunningMartlet) throws -> Int {
        let status = try String(contentsOfFile: "/proc/\(martlet.processID)/status", encoding: .utf8)
        let line = status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") } ?? ""
        return (Int(line.split(separator: " ").dropFirst().first ?? "") ?? 0) * 1024
    }

    @Test func `the examples work as their page says`() async throws {
        let examples = Repository.file("examples/stack.yaml").path
        let martlet = try await start("--file", examples)
        #expect(try await martlet.call("hello?name=you").body == "Hello, you!\n")
        #expect(try await martlet.call("greet", method: "POST", body: "Ann\n").body == "Good day, Ann.\n")
        #expect(try await martlet.call("ticker").body == "data: tick 1\n\ndata: tick 2\n\ndata: tick 3\n\n")
        #expect(
            try await martlet.call("wc", method: "POST", body: "a b c\n").body.split(separator: " ").map {
                $0.trimmingCharacters(in: .whitespacesAndNewlines)
            } == ["1", "3", "6"]
        )
        let later = try await martlet.ask(
            "POST",
            "/async-function/patient",
            "work",
            headers: [("X-Call-Id", "mine")],
            withLogin: false
        )
        #expect(later.status == 202)
        #expect(try await eventually { try await martlet.client.call("mine").state == "succeeded" })
        #expect(try await martlet.run("calls", "show", "mine", "--result").output == "Done with work at try 3.\n")
        #expect(try await martlet.call("env").body.contains("OPENFAAS_NAME=env"))
        _ = await martlet.stop()
    }
}
