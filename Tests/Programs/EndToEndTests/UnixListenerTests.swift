// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionModel
import Glibc
import ProcessControl
import SystemClient
import TestSupport
import Testing

/// A listener on a socket in the file system: who reaches it, and what becomes of its file.
struct UnixListenerTests {
    private let folder = TemporaryFolder()

    private var path: String { folder.path + "/m.sock" }

    private func start(_ arguments: String..., environment: [String: String] = [:]) async throws -> RunningMartlet {
        try await RunningMartlet(
            dataDirectory: folder.path + "/data",
            arguments: ["--socket", path] + arguments,
            environment: environment
        )
    }

    private var mode: mode_t? {
        var status = stat()
        return lstat(path, &status) == 0 ? status.st_mode : nil
    }

    private func ask(_ line: String, _ fields: String = "") async throws -> String {
        let connection = try RawConnection(path: path)
        try await connection.send("\(line) HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\(fields)\r\n")
        return try await connection.receive()
    }

    @Test func `functions are called and managed by a socket, which only its user reaches, and which goes at the end`()
        async throws
    {
        let martlet = try await start("--access-log", "all", "--management-port", "0")
        #expect(mode == S_IFSOCK | 0o600 && martlet.startText.contains("Socket    \(path)\n"))
        #expect(try await ask("GET /readyz").hasPrefix("HTTP/1.1 200 "))
        #expect(try await ask("GET /system/functions").hasPrefix("HTTP/1.1 401 "))
        let token = "Authorization: Basic \(martlet.token)\r\n"
        #expect(try await ask("GET /system/functions", token).hasPrefix("HTTP/1.1 200 "))
        #expect(try await ask("GET /ui/").contains("ocation: http://a:\(martlet.pagePort)/ui/"))

        // A verb of this user, by the password of the data directory.
        let url = ["OPENFAAS_URL": "unix://\(path)"]
        let deployed = try await martlet.run("deploy", "env", "--image", "host", "--fprocess", "env", environment: url)
        #expect(deployed.code == 0 && deployed.output.contains("/function/env on \(path)"), "\(deployed)")
        let listed = try await martlet.run("list", "--gateway", "unix:\(path)")
        #expect(listed.code == 0 && listed.output.contains("env"), "\(listed)")
        let doctor = try await martlet.run("doctor", "--socket", path)
        #expect(doctor.output.contains("socket: \(path) is taken, as it should be"), "\(doctor)")

        let called = try await ask("GET /function/env", "X-Call-Id: known\r\n")
        #expect(called.hasPrefix("HTTP/1.1 200 ") && !called.contains("Http_X_Forwarded_For"), "\(called)")
        #expect(await martlet.prints(#""client":"","method":"GET","target":"/function/env""#), "\(martlet.output)")
        let proxied = try await ask("GET /function/env", "X-Forwarded-For: 192.0.2.7\r\n")
        #expect(proxied.contains("Http_X_Forwarded_For=192.0.2.7\n"), "\(proxied)")
        let accepted = try await ask("POST /async-function/env", "X-Call-Id: later\r\nContent-Length: 0\r\n")
        #expect(accepted.hasPrefix("HTTP/1.1 202 "), "\(accepted)")
        #expect(try await eventually { try await martlet.client.call("later").state == "succeeded" })
        #expect(await martlet.stop() == 0)
        #expect(mode == nil)
    }

    @Test func `what a killed one left is replaced, a living one's is not taken, and others' files are left alone`()
        async throws
    {
        let killed = try await start()
        await killed.kill()
        #expect(mode != nil)
        let martlet = try await start("--socket-mode", "660")
        #expect(mode == S_IFSOCK | 0o660)
        let second = await #expect(throws: RunningMartlet.StartFailure.self) {
            try await RunningMartlet(dataDirectory: folder.path + "/other", arguments: ["--socket", path])
        }
        #expect(second?.output.contains("cannot listen on \(path): another program listens there") == true)
        #expect(second?.output.contains("--socket") == true)
        #expect(try await ask("GET /readyz").hasPrefix("HTTP/1.1 200 "))
        #expect(await martlet.stop() == 0)
        folder.write("m.sock", "mine")
        let third = await #expect(throws: RunningMartlet.StartFailure.self) { try await start() }
        #expect(third?.output.contains("that is not a socket") == true, "\(third?.output ?? "")")
        #expect(try String(contentsOfFile: path, encoding: .utf8) == "mine")
    }

    @Test func `a gateway reaches a provider, and users a gateway, by sockets alone`() async throws {
        let provider = try await RunningMartlet(
            ["provider", "process"],
            dataDirectory: folder.path + "/data",
            arguments: ["--socket", path]
        )
        let gateway = try await RunningMartlet(
            ["gateway"],
            dataDirectory: folder.path + "/data",
            arguments: ["--provider-url", "unix://\(path)", "--socket", folder.path + "/g.sock"]
        )
        #expect(gateway.output.contains("provider unix://\(path)"), "\(gateway.output)")
        let url = ["OPENFAAS_URL": "unix://\(folder.path)/g.sock"]
        let token = "\(folder.path)/data/basic-auth-password"
        let password = try String(contentsOfFile: token, encoding: .utf8)
        let login = try await gateway.run("login", "--password-stdin", input: password, environment: url)
        #expect(login.code == 0, "\(login)")
        let deployed = try await gateway.run("deploy", "cat", "--image", "host", "--fprocess", "cat", environment: url)
        #expect(deployed.code == 0, "\(deployed)")
        let called = try await gateway.run("invoke", "cat", input: "a body", environment: url)
        #expect(called.output == "a body", "\(called)")
        #expect(await gateway.stop() == 0)
        #expect(await provider.stop() == 0)
    }

    @Test func `a service manager's socket is listened on, and its file is the service manager's`() async throws {
        let script = """
            import os, socket, sys
            kept = socket.socket(socket.AF_UNIX)
            kept.bind(sys.argv[1])
            kept.listen()
            os.dup2(kept.fileno(), 3)
            os.set_inheritable(3, True)
            os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="martlet-socket")
            os.execv(sys.argv[2], sys.argv[2:])
            """
        let martlet = try await RunningMartlet(
            dataDirectory: folder.path + "/data",
            arguments: ["--socket", path],
            environment: ["NOTIFY_SOCKET": folder.path + "/nobody"],
            launcher: ["/usr/bin/env", "python3", "-c", script, path]
        )
        #expect(try await ask("GET /readyz").hasPrefix("HTTP/1.1 200 "))
        #expect(SocketFile.listener(at: path) == martlet.processID)
        #expect(await martlet.stop() == 0)
        #expect(mode != nil, "others wait there for the next start")
    }

    @Test
    func `a socket that the settings move goes with the one before, and so does one that they leave out`()
        async throws
    {
        let martlet = try await start()
        let other = folder.path + "/other.sock"
        let successor = try await RunningMartlet(
            dataDirectory: folder.path + "/data",
            arguments: ["--replace", "--socket", other]
        )
        #expect(await martlet.exitCode() == 0)
        #expect(mode == nil, "nobody listens there any more")
        #expect(SocketFile.listener(at: other) == successor.processID)
        let last = try await RunningMartlet(dataDirectory: folder.path + "/data", arguments: ["--replace"])
        #expect(await successor.exitCode() == 0)
        #expect(SocketFile.listener(at: other) == nil && access(other, F_OK) != 0)
        #expect(await last.stop() == 0)
    }
}
