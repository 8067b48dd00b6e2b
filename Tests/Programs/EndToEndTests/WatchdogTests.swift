// SPDX-License-Identifier: Apache-2.0

import Foundation
import ProcessControl
import TestSupport
import Testing

/// The real `fwatchdog`, row by row of the contract's §15.
@Suite(.serialized)
struct WatchdogTests {
    private let folder = TemporaryFolder()

    /// A watchdog in front of a scripted server; its own process only has to live.
    private func proxy(_ origin: ScriptedOrigin, _ variables: [String: String] = [:]) async throws -> RunningWatchdog {
        let own = ["mode": "http", "upstream_url": "http://127.0.0.1:\(origin.port)", "fprocess": "sleep 1000"]
        let watchdog = try await RunningWatchdog(own.merging(variables) { _, new in new })
        #expect(try await eventually { try await !watchdog.call("GET /_/ready HTTP/1.1").hasPrefix("HTTP/1.1 503 ") })
        return watchdog
    }

    private func run(_ arguments: String..., variables: [String: String] = [:]) async throws -> ProgramRun {
        var environment = ["PATH": "/usr/bin:/bin", "TMPDIR": folder.path]
        environment.merge(variables) { _, new in new }
        return try await ProgramRun.run([RunningWatchdog.binary] + arguments, environment: environment, in: folder.path)
    }

    // MARK: §15.1

    @Test func `the command line is of-watchdog's (§15.1)`() async throws {
        #expect(try await run("-version").output.hasPrefix("fwatchdog "))
        let missing = try await run("-run-healthcheck")
        #expect(missing.exit == .exited(1) && missing.error == "unable to find lock file.\n")
        folder.write(".lock", "")
        #expect(try await run("--run-healthcheck").exit == .exited(0))
        #expect(try await run("-fly").exit == .exited(2))
        let wrong = try await run(variables: ["mode": "afterburn", "jwt_auth": "true"])
        #expect(wrong.exit == .exited(1) && wrong.error.hasPrefix("Error loading config: "), "\(wrong)")
        #expect(wrong.error.contains("afterburn") && wrong.error.contains("jwt_auth"))
    }

    // MARK: §15.3

    @Test func `health and readiness follow the lock file and take GET alone (§15.3)`() async throws {
        let watchdog = try await RunningWatchdog(["fprocess": "cat"])
        let health = try await watchdog.call("GET /_/health HTTP/1.1")
        #expect(health.hasPrefix("HTTP/1.1 200 ") && health.hasSuffix("\r\n\r\nOK"), "\(health)")
        #expect(try await watchdog.call("GET /_/ready HTTP/1.1").hasPrefix("HTTP/1.1 200 "))
        for path in ["/_/health", "/_/ready"] {
            let other = try await watchdog.call("POST \(path) HTTP/1.1")
            #expect(other.hasPrefix("HTTP/1.1 405 ") && other.contains("\r\nAllow: GET, HEAD\r\n"), "\(other)")
            let head = try await watchdog.call("HEAD \(path) HTTP/1.1")
            #expect(head.hasPrefix("HTTP/1.1 200 ") && head.hasSuffix("\r\n\r\n"), "\(head)")
        }
        try FileManager.default.removeItem(atPath: watchdog.folder.path + "/.lock")
        for path in ["/_/health", "/_/ready"] {
            #expect(try await watchdog.call("GET \(path) HTTP/1.1").hasPrefix("HTTP/1.1 503 "))
        }
        #expect(await watchdog.stop() == 0)
        let quiet = try await RunningWatchdog(["fprocess": "cat", "suppress_lock": "true"])
        #expect(try await quiet.call("GET /_/health HTTP/1.1").hasPrefix("HTTP/1.1 503 "), "the lock is missing")
        #expect(try await quiet.call("POST / HTTP/1.1", body: "x").hasSuffix("\r\nx\r\n0\r\n\r\n"))
        _ = await quiet.stop()
    }

    @Test func `readiness is the function's own where it has a path for it (§15.3)`() async throws {
        let origin = try await ScriptedOrigin { request in
            let isReady = request.hasPrefix("GET /am-i?deep=1 ") && request.contains("X-Probe: 7\r\n")
            return [.send("HTTP/1.1 \(isReady ? 299 : 404) X\r\nContent-Length: 3\r\n\r\nyes")]
        }
        let watchdog = try await proxy(origin, ["ready_path": "/am-i?deep=1", "max_inflight": "1"])
        let fields = "X-Probe: 7\r\n"
        #expect(
            try await eventually {
                try await watchdog.call("GET /_/ready HTTP/1.1", fields).hasPrefix("HTTP/1.1 299 ")
            }
        )
        #expect(try await watchdog.metrics().contains("code=\"299\"") == false, "a probe is not a call")
        _ = await watchdog.stop()
    }

    // MARK: §15.4, http

    @Test func `a call passes as it came, and its answer with its duration (§15.4)`() async throws {
        let origin = try await ScriptedOrigin { _ in
            [
                .send(
                    "HTTP/1.1 302 Found\r\nLocation: /x\r\nX-Call-Id: f\r\nX-Duration-Seconds: 9\r\nContent-Length: 2\r\n\r\nok"
                )
            ]
        }
        let watchdog = try await proxy(origin, ["log_callid": "true"])
        let fields = "X-Call-Id: mine\r\nX-Start-Time: 5\r\nX-Forwarded-For: 9.9.9.9\r\nX-Thing: a\r\nX-Thing: b\r\n"
        let answer = try await watchdog.call("POST /a%2Fb//c?q=%20 HTTP/1.1", fields, body: "body")
        let seen = await origin.nextRequest()
        #expect(seen.hasPrefix("POST /a%2Fb//c?q=%20 HTTP/1.1\r\n"), "\(seen)")
        for line in [
            "Host: fn:8080", "X-Call-Id: mine", "X-Start-Time: 5", "X-Forwarded-For: 9.9.9.9", "X-Thing: a",
            "X-Thing: b", "Content-Length: 4",
        ] {
            #expect(seen.contains("\r\n\(line)\r\n"), "\(line) is missing in \(seen)")
        }
        #expect(!seen.contains("X-Forwarded-Host"))
        #expect(answer.hasPrefix("HTTP/1.1 302 Found\r\n") && answer.contains("X-Call-Id: f\r\n"), "\(answer)")
        #expect(answer.components(separatedBy: "X-Duration-Seconds: 0.").count == 2 && !answer.contains("X-Served-By"))
        #expect(await watchdog.prints("POST /a%2Fb//c?q=%20 - 302 Found - ContentLength: 2B (0."))
        #expect(await watchdog.prints("s) [mine]"))
        _ = try await watchdog.call("GET /probe HTTP/1.1", "User-Agent: kube-probe/1.30\r\n")
        #expect(await watchdog.stop() == 0)
        #expect(!watchdog.output.contains("GET /probe"), "Kubernetes' probes are not logged")
    }

    @Test func `an unreachable function is a 500, a slow one a 504, both with a sentence (§15.4, §29)`() async throws {
        let origin = try await ScriptedOrigin { request in request.contains("/bye") ? [.close] : [] }
        let patient = try await proxy(origin)
        let gone = try await patient.call("GET /bye HTTP/1.1")
        _ = await patient.stop()
        let watchdog = try await proxy(origin, ["exec_timeout": "300ms"])
        #expect(gone.hasPrefix("HTTP/1.1 500 ") && gone.contains("closed the connection without an answer"), "\(gone)")
        let late = try await watchdog.call()
        #expect(late.hasPrefix("HTTP/1.1 504 ") && late.contains("exec_timeout"), "\(late)")
        let hurried = try await watchdog.call("GET / HTTP/1.1", "X-Timeout: 50ms\r\nAccept: application/json\r\n")
        #expect(hurried.hasPrefix("HTTP/1.1 504 ") && hurried.contains("50ms, the X-Timeout"), "\(hurried)")
        for answer in [gone, late, hurried] {
            #expect(answer.contains("X-OpenFaaS-Internal: of-watchdog\r\n"))
            #expect(answer.contains("X-Duration-Seconds: 0."))
            #expect(answer.contains("Content-Type: text/plain; charset=utf-8\r\n"))
        }
        _ = await watchdog.stop()
    }

    @Test func `the first calls wait for a server that is still being started (§29)`() async throws {
        let gate = folder.path + "/gate"
        #expect(mkfifo(gate, 0o600) == 0)
        let script = folder.write(
            "slow.py",
            "import http.server, os\nopen('\(gate)').read()\n"
                + "class H(http.server.BaseHTTPRequestHandler):\n    def do_GET(self):\n"
                + "        self.send_response(200)\n        self.end_headers()\n        self.wfile.write(b'up')\n"
                + "http.server.HTTPServer(('127.0.0.1', int(os.environ['listen'])), H).serve_forever()\n"
        )
        let port = try ReservedPort.claim()
        let watchdog = try await RunningWatchdog([
            "mode": "http", "upstream_url": "http://127.0.0.1:\(port)", "fprocess": "python3 \(script)",
            "listen": "\(port)",
        ])
        #expect(try await watchdog.call("GET /_/ready HTTP/1.1").hasPrefix("HTTP/1.1 503 "))
        async let first = watchdog.call()
        FileHandle(forWritingAtPath: gate)?.write(Data("go".utf8))
        #expect(try await first.contains("\r\nup"))
        #expect(try await watchdog.call("GET /_/ready HTTP/1.1").hasPrefix("HTTP/1.1 200 "))
        #expect(await watchdog.stop() == 0)
    }

    @Test func `streams, upgrades and trailers pass through (§5.4)`() async throws {
        let origin = try await ScriptedOrigin { request in
            if request.contains("Upgrade: echo") {
                return [.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nhello")]
            }
            return [
                .send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"),
                .send("9\r\ndata: 1\n\n\r\n0\r\nX-Sum: 1\r\n\r\n"),
            ]
        }
        let watchdog = try await proxy(origin, ["exec_timeout": "5s"])
        let stream = try await watchdog.call()
        #expect(stream.hasSuffix("9\r\ndata: 1\n\n\r\n0\r\nX-Sum: 1\r\n\r\n"), "\(stream)")
        let connection = try RawConnection(port: watchdog.port)
        try await connection.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        #expect(try await connection.receive(until: "hello").hasPrefix("HTTP/1.1 101 "))
        connection.close()
        _ = await watchdog.stop()
    }

    // MARK: §15.4, a process per call

    @Test func `a process per call knows the watchdog's variables and the request's (§15.4, §15.5)`() async throws {
        let watchdog = try await RunningWatchdog(["fprocess": "env", "OWN": "1", "mode": "streaming"])
        let fields =
            "Content-Type: a/b\r\nx-call-id: c\r\nX-Two: first\r\nX-Two: second\r\nTransfer-Encoding: chunked\r\n"
        let request = "PUT /a%20b?x=1&y HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\(fields)\r\n0\r\n\r\n"
        let answer = try await watchdog.exchange(request)
        for line in [
            "OWN=1", "Http_Method=PUT", "Http_Path=/a b", "Http_Query=x=1&y", "Http_Content_Type=a/b",
            "Http_X_Call_Id=c", "Http_X_Two=first", "Http_Transfer_Encoding=chunked",
        ] {
            #expect(answer.contains("\(line)\n"), "\(line) is missing in \(answer)")
        }
        for name in ["Http_Host", "Http_X_Forwarded", "Http_X_Start_Time", "second", "Http_Traceparent"] {
            #expect(!answer.contains(name), "\(name)")
        }
        #expect(try await watchdog.call("GET / HTTP/1.1").contains("Http_Query") == false)
        _ = await watchdog.stop()
    }

    @Test func `streaming answers as the process prints, and tells its failure (§15.4, §29)`() async throws {
        let cat = try await RunningWatchdog(["fprocess": "cat"])
        let large = String(repeating: "0123456789abcdef", count: 131_072)
        let echo = try await cat.call("POST / HTTP/1.1", body: large)
        let content = echo.components(separatedBy: "\r\n").filter { $0.hasPrefix("0123") || $0.count > 1000 }.joined()
        #expect(content.count > 2_000_000 && echo.hasSuffix("0\r\n\r\n"), "\(content.count)")
        #expect(echo.contains("Content-Type: application/octet-stream\r\n"))
        _ = await cat.stop()
        let early = folder.write("early.sh", "echo first\nexec cat > /dev/null\n")
        let flushing = try await RunningWatchdog(["fprocess": "sh \(early)"])
        let connection = try RawConnection(port: flushing.port)
        try await connection.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nConnection: close\r\n\r\n")
        #expect(try await connection.receive(until: "first").hasPrefix("HTTP/1.1 200 "), "before the body has ended")
        try await connection.send("x")
        #expect(try await connection.receive().hasSuffix("0\r\n\r\n"))
        _ = await flushing.stop()
        for (command, limit, status, words) in [
            ("false", "5s", "500", "exit status 1"), ("no-such-program", "5s", "500", "executable file not found"),
            ("sleep 100", "100ms", "504", "exec_timeout"),
        ] {
            let failing = try await RunningWatchdog(["fprocess": command, "exec_timeout": limit])
            let answer = try await failing.call()
            #expect(answer.hasPrefix("HTTP/1.1 \(status) ") && answer.contains(words), "\(command): \(answer)")
            _ = await failing.stop()
        }
    }

    @Test func `serializing answers with the whole output or the failure's text (§15.4)`() async throws {
        let cat = try await RunningWatchdog(["fprocess": "cat", "mode": "serializing", "content_type": "text/x"])
        let answer = try await cat.call("POST / HTTP/1.1", body: "hello")
        #expect(
            answer.hasPrefix("HTTP/1.1 200 ") && answer.hasSuffix("Content-Length: 5\r\nConnection: close\r\n\r\nhello")
        )
        #expect(answer.contains("Content-Type: text/x\r\n") && answer.contains("X-Duration-Seconds: 0."))
        _ = await cat.stop()
        let script = folder.write("fail.sh", "echo half\necho why >&2\nexit 3\n")
        let failing = try await RunningWatchdog(["fprocess": "sh \(script)", "mode": "serializing"])
        let failure = try await failing.call()
        #expect(failure.hasPrefix("HTTP/1.1 500 ") && failure.hasSuffix("\r\n\r\nexit status 3\n"), "\(failure)")
        #expect(!failure.contains("half"), "what was printed is dropped")
        #expect(await failing.prints("stderr: why"))
        _ = await failing.stop()
    }

    @Test func `static serves a folder and nothing beside it (§15.4)`() async throws {
        folder.write("public/index.html", "<p>home")
        folder.write("public/a b.txt", "0123456789")
        folder.write("public/sub/one.css", "p{}")
        folder.write("secret", "no")
        let watchdog = try await RunningWatchdog(["mode": "static", "static_path": folder.path + "/public"])
        let home = try await watchdog.call()
        #expect(
            home.hasPrefix("HTTP/1.1 200 ") && home.contains("text/html; charset=utf-8") && home.hasSuffix("<p>home")
                && home.contains("X-Duration-Seconds: ")
        )
        let file = try await watchdog.call("GET /a%20b.txt HTTP/1.1")
        #expect(file.contains("Content-Length: 10\r\n") && file.hasSuffix("0123456789"), "\(file)")
        let part = try await watchdog.call("GET /a%20b.txt HTTP/1.1", "Range: bytes=2-4\r\n")
        #expect(part.hasPrefix("HTTP/1.1 206 ") && part.contains("Content-Range: bytes 2-4/10\r\n"), "\(part)")
        #expect(part.hasSuffix("\r\n\r\n234"))
        #expect(try await watchdog.call("GET /a%20b.txt HTTP/1.1", "Range: bytes=10-\r\n").hasPrefix("HTTP/1.1 416 "))
        let date = try #require(file.firstMatch(of: /Last-Modified: ([^\r]+)/)?.1)
        let unchanged = try await watchdog.call("GET /a%20b.txt HTTP/1.1", "If-Modified-Since: \(date)\r\n")
        #expect(unchanged.hasPrefix("HTTP/1.1 304 ") && unchanged.hasSuffix("\r\n\r\n"), "\(unchanged)")
        let head = try await watchdog.call("HEAD /a%20b.txt HTTP/1.1")
        #expect(head.contains("Content-Length: 10\r\n") && head.hasSuffix("\r\n\r\n"))
        #expect(try await watchdog.call("GET /sub HTTP/1.1").contains("Location: sub/\r\n"))
        #expect(try await watchdog.call("GET /sub/ HTTP/1.1").contains("<a href=\"one.css\">one.css</a>"))
        for path in ["/none", "/../secret", "/%2e%2e/secret", "/sub/..%2f..%2fsecret", "/%00"] {
            #expect(try await watchdog.call("GET \(path) HTTP/1.1").hasPrefix("HTTP/1.1 404 "), "\(path)")
        }
        _ = await watchdog.stop()
    }

    // MARK: §15.6, §15.7

    @Test func `more calls than max_inflight get OpenFaaS' 429 to the byte, probes do not (§15.6)`() async throws {
        let origin = try await ScriptedOrigin { _ in [] }
        let watchdog = try await proxy(origin, ["max_inflight": "1"])
        let first = try RawConnection(port: watchdog.port)
        try await first.send("GET /held HTTP/1.1\r\nHost: a\r\n\r\n")
        _ = await origin.nextRequest()
        let answer = try await watchdog.call("GET / HTTP/1.1", "Accept: application/json\r\n")
        #expect(answer.hasPrefix("HTTP/1.1 429 "), "\(answer)")
        #expect(answer.contains("Content-Type: text/plain\r\n"))
        #expect(answer.contains("X-OpenFaaS-Internal: faas-middleware\r\n"))
        #expect(answer.hasSuffix("\r\n\r\nConcurrent request limit exceeded. Max concurrent requests: 1\n"))
        #expect(try await watchdog.call("GET /_/health HTTP/1.1").hasPrefix("HTTP/1.1 200 "))
        let ready = try await watchdog.call("GET /_/ready HTTP/1.1")
        #expect(ready.hasPrefix("HTTP/1.1 429 ") && ready.hasSuffix("\r\n\r\n"), "\(ready)")
        let metrics = try await watchdog.metrics()
        #expect(metrics.contains("http_requests_in_flight 1\n"))
        #expect(metrics.contains("http_requests_total{code=\"429\",method=\"get\"} 1\n"), "\(metrics)")
        #expect(metrics.contains("http_request_duration_seconds_bucket{code=\"429\",method=\"get\",le=\"+Inf\"} 1\n"))
        first.close()
        _ = await watchdog.stop()
    }

    // MARK: §15.2, logs

    @Test func `the function's lines are passed on, with or without a prefix, long ones in pieces (§15.2)`()
        async throws
    {
        let script = folder.write(
            "talk.py",
            "import os, sys, time\nprint('to out', flush=True)\nprint('to err', file=sys.stderr, flush=True)\n"
                + "print('x' * 40, flush=True)\ntime.sleep(1000)\n"
        )
        let variables = [
            "mode": "http", "upstream_url": "http://127.0.0.1:9", "fprocess": "python3 \(script)",
            "log_buffer_size": "16",
        ]
        let prefixed = try await RunningWatchdog(variables)
        #expect(await prefixed.prints("stdout: to out\n"))
        #expect(await prefixed.prints("stderr: to err\n"))
        #expect(await prefixed.prints("stdout: xxxxxxxx\n"), "40 are 16, 16 and 8: \(prefixed.output)")
        _ = await prefixed.stop()
        let plain = try await RunningWatchdog(variables.merging(["prefix_logs": "false"]) { _, new in new })
        #expect(await plain.prints("\nto out\n"))
        _ = await plain.stop()
    }

    // MARK: §15.8

    @Test func `on SIGTERM it turns unready, takes calls for a while, ends those it has, and exits 0 (§15.8)`()
        async throws
    {
        let gate = folder.path + "/gate"
        #expect(mkfifo(gate, 0o600) == 0)
        let watchdog = try await RunningWatchdog(["fprocess": "cat \(gate)", "healthcheck_interval": "2s"])
        let held = try RawConnection(port: watchdog.port)
        try await held.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        watchdog.terminate()
        #expect(await watchdog.prints("SIGTERM: no new connections in 2s"))
        #expect(!FileManager.default.fileExists(atPath: watchdog.folder.path + "/.lock"))
        #expect(try await watchdog.call("GET /_/health HTTP/1.1").hasPrefix("HTTP/1.1 503 "), "unready, but listening")
        #expect(await watchdog.prints("draining: 1 requests"))
        #expect(await eventually { (try? RawConnection(port: watchdog.port)) == nil })
        FileHandle(forWritingAtPath: gate)?.write(Data("late".utf8))
        #expect(try await held.receive().contains("late"))
        #expect(await watchdog.exitCode() == 0)
    }

    @Test func `it ends with its server's end, and says how (§15.1)`() async throws {
        let script = folder.write("die.sh", "read line < \(folder.path)/die\nexit 4\n")
        #expect(mkfifo(folder.path + "/die", 0o600) == 0)
        let watchdog = try await RunningWatchdog([
            "mode": "http", "upstream_url": "http://127.0.0.1:9", "fprocess": "sh \(script)",
        ])
        FileHandle(forWritingAtPath: folder.path + "/die")?.write(Data("now\n".utf8))
        #expect(await watchdog.exitCode() == 1)
        #expect(watchdog.output.contains("Forked function has terminated: exit status 4"), "\(watchdog.output)")
    }

    @Test(.enabled("needs root and unshare for a process namespace", WatchdogTests.canUnshare))
    func `as the first process of a container it reaps what lost its parent`() async throws {
        let script = folder.write("orphan.sh", "(setsid sleep 0.1 &)\necho made\n")
        let program = try await RunningProgram(
            ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", RunningWatchdog.binary],
            environment: [
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "TMPDIR": folder.path, "listen_address": "127.0.0.1",
                "port": "0", "metrics_port": "0", "fprocess": "sh \(script)",
            ]
        )
        #expect(await program.prints("Writing lock-file"), "\(program.output)")
        let connection = try RawConnection(port: program.number(after: "Listening on port: "))
        try await connection.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        let answer = try await connection.receive()
        #expect(answer.contains("made"), "\(answer) \(program.output)")
        let watchdog = try #require(children(of: program.processID).first)
        #expect(await eventually { children(of: watchdog).isEmpty }, "\(children(of: watchdog)) are left")
        program.signal(SIGKILL)
        _ = await program.exitCode()
    }

    @Test(.enabled("needs root and unshare for a process namespace", WatchdogTests.canUnshare))
    func `where /proc is that of others it says what may come of that`() async throws {
        let program = try await RunningProgram(
            ["unshare", "--pid", "--fork", "--kill-child", RunningWatchdog.binary],
            environment: [
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "TMPDIR": folder.path, "listen_address": "127.0.0.1",
                "port": "0", "metrics_port": "0", "fprocess": "cat",
            ]
        )
        #expect(await program.prints("Warning: /proc is not that of this container"), "\(program.output)")
        program.signal(SIGKILL)
        _ = await program.exitCode()
    }

    static func canUnshare() async -> Bool {
        let run = try? await ProgramRun.run(
            ["unshare", "--pid", "--fork", "--mount-proc", "true"],
            environment: ["PATH": "/usr/bin:/bin"],
            in: "/"
        )
        return run?.isSuccess ?? false
    }

    private func children(of parent: Int32) -> [Int32] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return names.compactMap { Int32($0) }.filter { process in
            let stat = (try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8)) ?? ""
            return stat.split(separator: ")").last?.split(separator: " ").dropFirst().first == "\(parent)"
        }
    }
}
