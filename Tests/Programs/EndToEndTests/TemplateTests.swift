// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionBuilder
import TestSupport
import Testing

/// The servers of our own templates, behind the gateway: no request that it lets through ends one, and what a handler
/// answers arrives as it meant it.
struct TemplateTests {
    private let folder = TemporaryFolder()

    private static let languages = ["bash", "node", "python3"].filter(BundleBuilder.isInstalled)

    /// Handlers that tell the process that they run in, and do what a path says.
    private static let handlers = [
        "bash": ("handler.sh", "cat > /dev/null; echo process-per-call\n"),
        "node": (
            "handler.js",
            """
            const answers = {
              '/lower': { headers: { 'content-type': 'text/x' }, body: 'lower' },
              '/upper': { headers: { 'CONTENT-TYPE': 'text/x' }, body: 'upper' },
              '/number': { body: 5 }, '/nothing': null, '/empty': { statusCode: 204, body: 'none of it' },
              '/bad-field': { headers: { a: 'b\\r\\nc: d' } }, '/bad-status': { statusCode: 'x' },
            };
            module.exports = async (event) => event.path in answers ? answers[event.path]
              : event.path === '//two' ? event.path + JSON.stringify(event.query) : String(process.pid);
            """
        ),
        "python3": (
            "handler.py",
            """
            import json, os
            answers = {
                "/lower": {"headers": {"content-type": "text/x", "content-length": "99"}, "body": "lower"},
                "/upper": {"headers": {"CONTENT-TYPE": "text/x"}, "body": "upper"},
                "/number": {"body": 5}, "/nothing": None, "/empty": {"statusCode": 204, "body": "none of it"},
                "/bad-field": {"headers": {"a": "b\\r\\nc: d"}}, "/bad-status": {"statusCode": "x"},
            }
            def handle(event, context):
                if event.path == "//two":
                    return event.path + json.dumps(event.query, separators=(",", ":"))
                if event.path == "/pieces":
                    return {"body": (piece for piece in ["a", "b"])}
                return answers[event.path] if event.path in answers else str(os.getpid())
            """
        ),
    ]

    private func start(_ language: String) async throws -> RunningMartlet {
        let martlet = try await RunningMartlet(dataDirectory: folder.path + "/data")
        _ = try await martlet.run("new", "mine", "--lang", language, in: folder.path)
        let (file, code) = try #require(Self.handlers[language])
        folder.write("mine/\(file)", code)
        let deploy = try await martlet.run("deploy", "--build", in: folder.path)
        try #require(deploy.code == 0, "\(deploy)")
        return martlet
    }

    /// The answer to exactly these bytes, head and body.
    private func ask(_ martlet: RunningMartlet, _ bytes: [UInt8]) async throws -> String {
        let connection = try RawConnection(port: martlet.port)
        try await connection.send(bytes)
        return try await connection.receive()
    }

    private func ask(_ martlet: RunningMartlet, _ target: String, _ fields: String = "") async throws -> String {
        let head = "GET \(target) HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\(fields)\r\n"
        return try await ask(martlet, Array(head.utf8))
    }

    @Test(arguments: languages)
    func `no request that the gateway lets through ends a template's server`(language: String) async throws {
        let martlet = try await start(language)
        let before = try await martlet.call("mine").body
        let base = "/function/mine"
        let targets = [
            "//", "//[", "///", "/%", "/%zz?%", "//x:y@z:99999/", "/?", "/??&&==&=", "/\\", "/[::1]", "/..//..",
        ]
        for rest in targets {
            #expect(try await ask(martlet, base + rest).hasPrefix("HTTP/1.1 200 "), "\(rest)")
        }
        let many = (0..<200).map { "X-Field-\($0): \($0)\r\n" }.joined()
        #expect(try await ask(martlet, base, many).hasPrefix("HTTP/1.1 200 "), "200 fields")
        let long = "X-Long: \(String(repeating: "x", count: 40_000))\r\n"
        #expect(try await ask(martlet, base, long).hasPrefix("HTTP/1.1 200 "), "a field of 40,000 bytes")
        var random = SeededGenerator()
        for _ in 0..<150 {
            let answer = try await ask(martlet, request(to: base, &random))
            #expect(answer.hasPrefix("HTTP/1.1 ") && !answer.hasPrefix("HTTP/1.1 5"), "\(random) \(answer)")
        }
        #expect(try await martlet.call("mine").body == before, "another process answers")
        #expect(await martlet.stop() == 0)
    }

    /// A request by the rules, with whatever they leave to the client.
    private func request(to base: String, _ random: inout SeededGenerator) -> [UInt8] {
        let methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
        let method = methods.randomElement(using: &random) ?? "GET"
        func bytes(_ most: Int, _ range: ClosedRange<UInt8>, not never: UInt8? = nil) -> [UInt8] {
            let count = Int.random(in: 0...most, using: &random)
            return (0..<count).map { _ in UInt8.random(in: range, using: &random) }.filter { $0 != never }
        }
        var head = Array("\(method) \(base)/".utf8)
        head += bytes(40, 0x21...0x7e, not: UInt8(ascii: "#"))
        head += Array(" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n".utf8)
        for number in 0..<Int.random(in: 0...5, using: &random) {
            head += Array("X-Field-\(number): ".utf8)
            head += bytes(30, 0x20...0xff, not: 0x7f) + [13, 10]
        }
        let body = bytes(2000, 0...0xff)
        guard Bool.random(using: &random) else { return head + [13, 10] }
        if Bool.random(using: &random) {
            return head + Array("Content-Length: \(body.count)\r\n\r\n".utf8) + body
        }
        let chunk = body.isEmpty ? [] : Array("\(String(body.count, radix: 16))\r\n".utf8) + body + [13, 10]
        return head + Array("Transfer-Encoding: chunked\r\n\r\n".utf8) + chunk + Array("0\r\nX-Trailer: x\r\n\r\n".utf8)
    }

    @Test(arguments: languages.filter { $0 != "bash" })
    func `names of header fields compare without case, and bodies are framed right`(language: String) async throws {
        let martlet = try await start(language)
        for path in ["lower", "upper"] {
            let answer = try await ask(martlet, "/function/mine/\(path)")
            let types = answer.lowercased().split(separator: "\r\n").filter { $0.hasPrefix("content-type:") }
            #expect(types == ["content-type: text/x"] && answer.contains(path), "\(answer)")
        }
        #expect(try await martlet.call("mine/number").body == "5")
        #expect(try await martlet.call("mine/nothing").body == "")
        #expect(try await martlet.call("mine//two?a=1&a=2").body == #"//two{"a":"2"}"#)
        for path in ["bad-field", "bad-status"] {
            #expect(try await martlet.call("mine/\(path)").status == 500, "\(path)")
        }
        // On kept connections of the gateway: what is too much or too little shows in the next answer.
        for _ in 0..<5 {
            #expect(try await martlet.call("mine/empty").status == 204)
            #expect(try await martlet.call("mine/pieces", method: "HEAD").body.isEmpty)
            #expect(try await martlet.call("mine/lower").body == "lower")
        }
        #expect(await martlet.stop() == 0)
    }
}
