// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import Glibc
import InvocationEngine
import NIOCore
import ProviderContract
import TestSupport
import Testing

/// Many calls at once for a server that has just started and lets few connections wait to be taken.
@Suite(.serialized)
struct BurstTests {
    /// The servers of Python's library, whose line is 5 long.
    private static let server = """
        import http.server, socket, sys

        class Answer(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/" + sys.argv[2]
            wbufsize = -1
            disable_nagle_algorithm = len(sys.argv) < 4

            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")
                self.wfile.flush()

            def log_message(self, *_):
                pass

        class OnPath(http.server.HTTPServer):
            address_family = socket.AF_UNIX

            def server_bind(self):
                self.socket.bind(self.server_address)

            def get_request(self):
                return self.socket.accept()[0], ("local", 0)

        if len(sys.argv) > 3:
            server = OnPath(sys.argv[3], Answer)
            print("path", flush=True)
        else:
            server = getattr(http.server, sys.argv[1])(("127.0.0.1", 0), Answer)
            print("port", server.server_port, flush=True)
        server.serve_forever()
        """

    private func statuses(
        of count: Int,
        at address: Upstream.Address,
        _ environment: [String: String]
    ) async throws -> [Int: Int] {
        let fixture = try await EngineFixture()
        let replica = Replica(id: "b", target: Upstream(address), maxInFlight: nil)
        fixture.table.apply(.changed(try EngineFixture.route(replicas: [replica], environment)))
        return await withTaskGroup(of: Int.self) { group in
            for number in 0..<count { group.addTask { await status(of: number, fixture) } }
            return await group.reduce(into: [:]) { $0[$1, default: 0] += 1 }
        }
    }

    private func status(of number: Int, _ fixture: EngineFixture) async -> Int {
        let request = DirectRequest(
            function: FunctionID(name: "fn", namespace: "openfaas-fn"),
            method: "GET",
            target: "",
            fields: ByteBuffer(string: "Host: gw\r\n"),
            body: ByteBuffer(),
            clientAddress: "10.0.0.9",
            callID: "call-\(number)",
            answerLimit: 10
        )
        return await withCheckedContinuation { continuation in
            _ = fixture.call(request) { continuation.resume(returning: $0.status) }
        }
    }

    /// Without a bound most connections are dropped by the system, and tried again 1, 3 and 7 seconds later.
    @Test(arguments: [("ThreadingHTTPServer", 600), ("HTTPServer", 300)], ["1.0", "1.1"])
    func `all calls of a burst on a server with a short line are answered in time`(
        server: (name: String, calls: Int),
        version: String
    ) async throws {
        let folder = TemporaryFolder()
        let program = try await RunningProgram(
            ["/usr/bin/env", "python3", folder.write("server.py", Self.server), server.name, version],
            environment: ["PATH": "/usr/local/bin:/usr/bin:/bin"]
        )
        defer { program.signal(SIGKILL) }
        #expect(await program.prints("\n"))
        let port = program.number(after: "port ")
        let address = Upstream.Address.tcp(host: "127.0.0.1", port: port)
        let statuses = try await statuses(of: server.calls, at: address, ["exec_timeout": "10s"])
        #expect(statuses == [200: server.calls])
    }

    /// There the system does not try again by itself: it says at once that the line is full.
    @Test(arguments: ["1.0", "1.1"])
    func `all calls of a burst on a socket in the file system are answered in time, too`(version: String) async throws {
        let folder = TemporaryFolder()
        let path = folder.path + "/s"
        let program = try await RunningProgram(
            ["/usr/bin/env", "python3", folder.write("server.py", Self.server), "HTTPServer", version, path],
            environment: ["PATH": "/usr/local/bin:/usr/bin:/bin"]
        )
        defer { program.signal(SIGKILL) }
        #expect(await program.prints("path"))
        #expect(try await statuses(of: 300, at: .unix(path: path), ["exec_timeout": "10s"]) == [200: 300])
    }

    @Test func `calls that take long do not wait for one another's connections`() async throws {
        let fixture = try await EngineFixture { _ in [] }
        let calls = 200
        for number in 0..<calls { Task { await status(of: number, fixture) } }
        for _ in 0..<calls { #expect(await fixture.origin.nextRequest().hasPrefix("GET ")) }
    }
}
