// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionModel
import SystemClient
import TestSupport
import Testing

/// Management on a port of its own, and what is left on the port of the functions.
struct ManagementPortTests {
    private let folder = TemporaryFolder()
    private let env = #"{"service":"env","image":"host","envProcess":"env"}"#

    private func start(_ arguments: String...) async throws -> RunningMartlet {
        try await RunningMartlet(
            dataDirectory: folder.path + "/data",
            arguments: ["--management-port", "0"] + arguments
        )
    }

    /// An answer of the functions' port to somebody who has the password.
    private func ask(_ martlet: RunningMartlet, _ line: String) async throws -> String {
        let password = try String(contentsOfFile: folder.path + "/data/basic-auth-password", encoding: .utf8)
        let token = Data("admin:\(password.trimmingCharacters(in: .whitespacesAndNewlines))".utf8).base64EncodedString()
        let connection = try RawConnection(port: martlet.port)
        let fields = ["Host: 127.0.0.1", "Connection: close", "Content-Length: 0", "Authorization: Basic \(token)"]
        try await connection.send("\(line) HTTP/1.1\r\n\(fields.joined(separator: "\r\n"))\r\n\r\n")
        return try await connection.receive()
    }

    @Test func `functions are called on one port, and managed on the other, where they can be called, too`()
        async throws
    {
        let martlet = try await start()
        #expect(martlet.managementPort > 0 && martlet.managementPort != martlet.port)
        #expect(martlet.startText.contains("faas-cli login -g \(martlet.client.baseURL) "))
        #expect(try await martlet.ask("GET", "/system/functions", withLogin: false).status == 401)
        #expect(try await martlet.ask("POST", "/system/functions", env).status == 202)
        #expect(try await martlet.ask("GET", "/ui/", withLogin: false).status == 307)
        #expect(try await martlet.call("env").status == 200)
        let accepted = try await martlet.ask("POST", "/async-function/env", "", withLogin: false)
        #expect(accepted.status == 202)

        for path in [
            "/", "/ui", "/ui/", "/system/functions", "/system/function/env", "/system/info", "/system/calls",
            "/system/queue", "/system/scaling/env", "/system/watch", "/metrics",
        ] {
            #expect(try await ask(martlet, "GET \(path)").hasPrefix("HTTP/1.1 404 "), "\(path)")
        }
        for line in ["POST /system/functions", "DELETE /system/functions", "DELETE /async-function/1"] {
            #expect(try await ask(martlet, line).hasPrefix("HTTP/1.1 404 "), "\(line)")
        }
        for path in ["/healthz", "/readyz", "/function/env"] {
            #expect(try await ask(martlet, "GET \(path)").hasPrefix("HTTP/1.1 200 "), "\(path)")
        }
        #expect(try await ask(martlet, "POST /async-function/env").hasPrefix("HTTP/1.1 202 "))
        let address = "http://127.0.0.1:\(martlet.port)"
        #expect(try await martlet.page().contains("curl \(address)/function/env"), "the page names the functions' port")
        #expect(try await martlet.run("list").output.contains("env"))
        #expect(await martlet.stop() == 0)
    }

    @Test func `a stack file is deployed where management is, and a client finds that by the settings`() async throws {
        let port = try ReservedPort.claim()
        let stack = folder.write("stack.yaml", "functions: {env: {image: host, fprocess: env}}")
        let martlet = try await RunningMartlet(
            dataDirectory: folder.path + "/data",
            arguments: ["--management-port", "\(port)", "--file", stack]
        )
        #expect(martlet.managementPort == port && martlet.output.contains("env: ready at"), "\(martlet.output)")
        let settings = ["OPENFAAS_URL": "", "MARTLET_MANAGEMENT_PORT": "\(port)"]
        let again = try await martlet.run("up", "-f", stack, environment: settings)
        #expect(again.code == 0 && again.output.contains("env: unchanged"), "\(again)")
        let list = try await martlet.run("list", environment: settings)
        #expect(list.code == 0 && list.output.contains("env"), "\(list)")
        let doctor = try await martlet.run("doctor", environment: settings)
        #expect(doctor.output.contains("management-port"), "\(doctor)")
        #expect(await martlet.stop() == 0)
    }
}
