// SPDX-License-Identifier: Apache-2.0

import FaultModel
import InvocationEngine
import NIOCore
import Synchronization
import TestSupport
import Testing

/// Calls that are only accepted: what of a request reaches the queue (contract §7.1).
struct IntakeTests {
    /// Keeps what is accepted.
    private final class Kept: CallIntake {
        let bodyLimit: Int
        private let requests = Mutex<[IntakeRequest]>([])

        init(bodyLimit: Int) { self.bodyLimit = bodyLimit }

        var all: [IntakeRequest] { requests.withLock { $0 } }
        var bodies: [String] { all.map { String(buffer: $0.body) } }

        func accept(_ request: IntakeRequest, done: @escaping @Sendable (Result<IntakeReceipt, PlatformFault>) -> Void)
        {
            let count = requests.withLock { requests in
                requests.append(request)
                return requests.count
            }
            done(.success(IntakeReceipt(id: "call-\(count)", callID: request.callID ?? "made", isDuplicate: false)))
        }
    }

    private func fixture(bodyLimit: Int = 100_000) async throws -> (EngineFixture, Kept) {
        let kept = Kept(bodyLimit: bodyLimit)
        let settings = EngineSettings(servedBy: "martlet/test", intake: kept)
        return (try await EngineFixture(settings: settings), kept)
    }

    private func head(_ fields: String) -> String {
        "POST /async-function/fn/a?b=c HTTP/1.1\r\nHost: gw\r\nX-Thing: 7\r\nX-Call-Id: mine\r\n\(fields)\r\n"
    }

    /// Around the sizes up to which a body shares its fields' memory, and in one read with its head or not.
    @Test(arguments: [0, 1, 1024, 16_383, 16_384, 16_385, 70_000])
    func `a body of any length is kept whole, with its fields`(length: Int) async throws {
        let (fixture, kept) = try await fixture()
        let body = String((0..<length).map { Character(UnicodeScalar(UInt8(97 + $0 % 26))) })
        for fields in ["Content-Length: \(length)\r\n", "Content-Length: \(length)\r\nExpect: 100-continue\r\n"] {
            let client = try RawConnection(port: fixture.port)
            try await client.send(head(fields) + body)
            let answer = try await client.receive(until: "X-Martlet-Call-Id")
            #expect(answer.contains("HTTP/1.1 202 ") && answer.contains("X-Call-Id: mine\r\n"), "\(answer)")
        }
        #expect(kept.bodies == [body, body])
        for request in kept.all {
            #expect(String(buffer: request.fields) == "Host: gw\r\nX-Thing: 7\r\n" && request.target == "/a?b=c")
        }
    }

    @Test func `requests that come at once, whole or in chunks, are kept one after another`() async throws {
        let (fixture, kept) = try await fixture()
        let client = try RawConnection(port: fixture.port)
        let chunked = head("Transfer-Encoding: chunked\r\n") + "3\r\ntwo\r\n0\r\n\r\n"
        let last = head("Content-Length: 5\r\nConnection: close\r\n")
        try await client.send(head("Content-Length: 3\r\n") + "one" + chunked + head("") + last + "th")
        #expect(await eventually { kept.all.count == 3 })
        try await client.send("ree")
        let answers = try await client.receive()
        #expect(answers.split(separator: "HTTP/1.1 202 ").count == 4, "\(answers)")
        #expect(kept.bodies == ["one", "two", "", "three"])
    }

    @Test func `a body beyond the limit is refused, however it comes`() async throws {
        let (fixture, kept) = try await fixture(bodyLimit: 4)
        for rest in ["Content-Length: 5\r\n\r\n12345", "Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n\r\n"] {
            let client = try RawConnection(port: fixture.port)
            try await client.send("POST /async-function/fn HTTP/1.1\r\nHost: gw\r\n\(rest)")
            #expect(try await client.receive(until: "\r\n\r\n").hasPrefix("HTTP/1.1 413 "))
        }
        #expect(kept.all.isEmpty)
    }
}
