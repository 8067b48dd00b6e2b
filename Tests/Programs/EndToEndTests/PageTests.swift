// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionModel
import ProcessControl
import SystemClient
import TestSupport
import Testing

/// The page on its own listener, and what browsers get on the functions' (contract §2, §23).
@Suite(.serialized)
struct PageTests {
    private let folder = TemporaryFolder()

    private func start(_ arguments: String...) async throws -> RunningMartlet {
        try await RunningMartlet(dataDirectory: folder.path + "/data", arguments: arguments)
    }

    private func token() throws -> String {
        let password = try String(contentsOfFile: folder.path + "/data/basic-auth-password", encoding: .utf8)
        return Data("admin:\(password.trimmingCharacters(in: .whitespacesAndNewlines))".utf8).base64EncodedString()
    }

    /// An answer to exactly these lines.
    private func ask(_ port: Int, _ line: String, host: String? = nil, _ fields: [String] = []) async throws -> String {
        let connection = try RawConnection(port: port)
        let lines = ["\(line) HTTP/1.1", "Host: \(host ?? "127.0.0.1:\(port)")", "Connection: close"] + fields
        try await connection.send(lines.joined(separator: "\r\n") + "\r\n\r\n")
        return try await connection.receive()
    }

    @Test func `the page has a listener of its own, and nothing else is there`() async throws {
        let martlet = try await start()
        try await martlet.client.create(FunctionDeployment(service: "env", image: "host", envProcess: "env"))
        let page = martlet.pagePort
        #expect(page > 0 && page != martlet.port)
        #expect(martlet.startText.contains("Page      http://127.0.0.1:\(page)/ui/"))
        let login = "Authorization: Basic \(try token())"
        let open = try await ask(page, "GET /ui/")
        let challenge = "WWW-Authenticate: Basic realm=\"Martlet\""
        #expect(open.hasPrefix("HTTP/1.1 401 ") && open.contains(challenge), "\(open)")
        let shown = try await ask(page, "GET /ui/", [login])
        #expect(shown.hasPrefix("HTTP/1.1 200 "), "\(shown)")
        #expect(shown.contains("curl http://127.0.0.1:\(martlet.port)/function/env"), "\(shown)")
        #expect(!shown.contains("<style") && !shown.contains("<script") && !shown.contains("style=\""))
        let policy =
            "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
        for answer in [open, shown] {
            #expect(answer.contains("Content-Security-Policy: \(policy)\r\n"), "\(answer)")
            #expect(answer.contains("X-Content-Type-Options: nosniff\r\n"))
            #expect(answer.contains("Cross-Origin-Resource-Policy: same-origin\r\n"))
        }
        let head = try await ask(page, "HEAD /ui/", [login])
        #expect(head.hasPrefix("HTTP/1.1 200 ") && head.hasSuffix("\r\n\r\n") && head.contains("Content-Length: "))
        let style = try await ask(page, "GET /ui/style.css", [login])
        #expect(style.hasPrefix("HTTP/1.1 200 ") && style.contains("Content-Type: text/css"), "\(style)")
        #expect(try await ask(page, "GET /ui/style.css").hasPrefix("HTTP/1.1 401 "))
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            #expect(try await ask(page, "\(method) /ui/", [login]).hasPrefix("HTTP/1.1 405 "), "\(method)")
        }
        for path in ["/system/functions", "/system/info", "/function/env", "/healthz", "/ui/x", "/metrics"] {
            #expect(try await ask(page, "GET \(path)", [login]).hasPrefix("HTTP/1.1 404 "), "\(path)")
        }
        for line in ["POST /async-function/env", "DELETE /async-function/1", "DELETE /system/functions"] {
            #expect(try await ask(page, line, [login, "Content-Length: 0"]).hasPrefix("HTTP/1.1 404 "), "\(line)")
        }
        #expect(try await martlet.client.functions(in: nil).map(\.name) == ["env"])
        #expect(await martlet.stop() == 0)
    }

    @Test func `the page is shown under its own names, and to nobody else's page`() async throws {
        let martlet = try await start("--public-url", "https://faas.example")
        let page = martlet.pagePort
        let login = "Authorization: Basic \(try token())"
        for host in ["localhost:\(page)", "127.0.0.1", "faas.example", "FAAS.example:8083", "[::1]:\(page)"] {
            #expect(try await ask(page, "GET /ui/", host: host, [login]).hasPrefix("HTTP/1.1 200 "), "\(host)")
        }
        for host in ["evil.example", "faas.example.evil.example:\(page)", "localhost.evil.example"] {
            let answer = try await ask(page, "GET /ui/", host: host, [login])
            #expect(answer.hasPrefix("HTTP/1.1 421 ") && !answer.contains("<main>"), "\(host) \(answer)")
            // Nobody is asked for a password under such a name.
            let open = try await ask(page, "GET /ui/", host: host)
            #expect(open.hasPrefix("HTTP/1.1 421 ") && !open.contains("WWW-Authenticate"), "\(host) \(open)")
        }
        for (site, mode, goal, status) in [
            ("none", "navigate", "document", 200), ("same-origin", "no-cors", "style", 200),
            ("same-site", "navigate", "document", 200), ("cross-site", "navigate", "document", 200),
            ("same-site", "navigate", "iframe", 403), ("same-site", "no-cors", "image", 403),
            ("cross-site", "cors", "empty", 403), ("same-site", "websocket", "websocket", 403),
        ] {
            let fields = ["Sec-Fetch-Site: \(site)", "Sec-Fetch-Mode: \(mode)", "Sec-Fetch-Dest: \(goal)", login]
            let answer = try await ask(page, "GET /ui/", fields)
            #expect(answer.hasPrefix("HTTP/1.1 \(status) "), "\(fields) \(answer)")
        }
        #expect(try await ask(page, "GET /ui/", [login]).contains(" · https://faas.example</p>"))
        #expect(await martlet.stop() == 0)
    }

    @Test func `the port of the functions leads to the page, and asks no browser for a password`() async throws {
        let martlet = try await start()
        let login = "Authorization: Basic \(try token())"
        let place = "Location: http://localhost:\(martlet.pagePort)/ui/\r\n"
        for path in ["/ui", "/ui/", "/ui/style.css"] {
            for method in ["GET", "HEAD"] {
                let answer = try await ask(martlet.port, "\(method) \(path)", host: "localhost:\(martlet.port)")
                #expect(answer.hasPrefix("HTTP/1.1 307 ") && answer.contains(place), "\(method) \(path) \(answer)")
            }
        }
        #expect(try await ask(martlet.port, "HEAD /").hasPrefix("HTTP/1.1 307 "))
        for path in ["/", "/ui/"] {
            let answer = try await ask(martlet.port, "POST \(path)", ["Content-Length: 0"])
            #expect(answer.hasPrefix("HTTP/1.1 405 ") && answer.contains("Allow: GET, HEAD\r\n"), "\(answer)")
        }
        let browser = "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/120.0 Safari/537.36"
        for field in [browser, "Origin: http://127.0.0.1:\(martlet.port)", "Sec-Fetch-Mode: navigate"] {
            let answer = try await ask(martlet.port, "GET /system/functions", [field])
            #expect(answer.hasPrefix("HTTP/1.1 401 ") && !answer.contains("WWW-Authenticate"), "\(field) \(answer)")
        }
        let program = try await ask(martlet.port, "GET /system/functions", ["User-Agent: Java/17.0.2"])
        #expect(program.contains("WWW-Authenticate: Basic realm=\"Restricted\"\r\n"), "\(program)")
        for field in ["Origin: http://127.0.0.1:\(martlet.port)", "Sec-Fetch-Site: same-origin"] {
            for line in ["GET /system/functions", "DELETE /system/functions", "DELETE /async-function/1"] {
                let answer = try await ask(martlet.port, line, [field, login, "Content-Length: 0"])
                #expect(answer.hasPrefix("HTTP/1.1 403 ") && answer.contains("not for pages"), "\(line) \(answer)")
            }
        }
        #expect(try await ask(martlet.port, "GET /system/functions", [browser, login]).hasPrefix("HTTP/1.1 200 "))
        #expect(await martlet.stop() == 0)
    }

    @Test func `without a password a page may not manage either, and the page can be left out`() async throws {
        let martlet = try await start("--no-auth", "--ui-port", "off")
        #expect(martlet.pagePort == 0 && !martlet.startText.contains("Page "))
        #expect(try await ask(martlet.port, "GET /ui/").hasPrefix("HTTP/1.1 404 "))
        #expect(try await ask(martlet.port, "GET /system/functions").hasPrefix("HTTP/1.1 200 "))
        let page = try await ask(martlet.port, "GET /system/functions", ["Origin: http://evil.example"])
        #expect(page.hasPrefix("HTTP/1.1 403 "), "\(page)")
        #expect(await martlet.stop() == 0)
    }

    @Test(.enabled("needs curl, wget and python3: scripts/test --with-peers", PageTests.hasPrograms))
    func `programs log in as before, those that wait for the challenge too`() async throws {
        let martlet = try await start()
        let password = try String(contentsOfFile: folder.path + "/data/basic-auth-password", encoding: .utf8)
            .trimmingCharacters(in: .whitespacesAndNewlines)
        let url = "http://127.0.0.1:\(martlet.port)/system/namespaces"
        let script = """
            import sys, urllib.request as r
            m = r.HTTPPasswordMgrWithDefaultRealm(); m.add_password(None, sys.argv[1], "admin", sys.argv[2])
            print(r.build_opener(r.HTTPBasicAuthHandler(m)).open(sys.argv[1]).read().decode())
            """
        for command in [
            ["curl", "-sf", "-u", "admin:\(password)", url],
            ["wget", "-qO-", "--user=admin", "--password=\(password)", url],
            ["python3", "-c", script, url, password],
        ] {
            let run = try await ProgramRun.run(command, environment: ["PATH": Self.path], in: "/")
            #expect(run.isSuccess && run.output.contains("openfaas-fn"), "\(command[0]): \(run.output) \(run.error)")
        }
        #expect(await martlet.stop() == 0)
    }

    private static let path = "/usr/local/bin:/usr/bin:/bin"

    @Sendable private static func hasPrograms() async -> Bool {
        for program in ["curl", "wget", "python3"] {
            let run = try? await ProgramRun.run([program, "--version"], environment: ["PATH": path], in: "/")
            guard run?.isSuccess == true else { return false }
        }
        return true
    }
}
