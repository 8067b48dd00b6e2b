// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import NIOCore
import ProviderContract
import TestSupport
import Testing

@testable import InvocationEngine

/// Every answer tells when it was made, once (RFC 9110 §6.6.1).
struct DateTests {
    /// The moments of all `Date` fields of an answer's heads; nil for one that is none.
    private func dates(_ answer: String) -> [Int64?] {
        answer.split(separator: "\r\n").filter { $0.lowercased().hasPrefix("date:") }
            .map { HTTPDate.parse(String($0.dropFirst(6))) }
    }

    private func isNow(_ moment: Int64?) -> Bool {
        let now = Timestamp.now().nanosecondsSinceEpoch / 1_000_000_000
        return moment.map { (now - 30...now + 1).contains($0) } ?? false
    }

    @Test(arguments: [
        "GET /function/fn HTTP/1.1", "HEAD /function/fn HTTP/1.1", "GET /function/nobody HTTP/1.1",
        "TRACE /function/fn HTTP/1.1", "GET /anything HTTP/1.1", "OPTIONS * HTTP/1.1", "GET x HTTP/1.1",
        "GET / HTTP/2.0", "GET /function/fn/broken HTTP/1.1",
    ])
    func `whoever made it, an answer without a date gets one`(line: String) async throws {
        let fixture = try await EngineFixture { request in
            request.contains("/broken")
                ? [.send("garbage\r\n\r\n")] : [.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")]
        }
        let answer = try await fixture.exchange(EngineFixture.request(line))
        #expect(dates(answer).count == 1 && isNow(dates(answer)[0]), "\(answer)")
    }

    @Test func `the function's own date passes as it is, in whatever case, and interim answers have theirs`()
        async throws
    {
        let fixture = try await EngineFixture { _ in
            [
                .send("HTTP/1.1 103 Early Hints\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n"),
                .send("HTTP/1.1 200 OK\r\ndATE: Sun, 06 Nov 1994 08:49:38 GMT\r\nContent-Length: 0\r\n\r\n"),
            ]
        }
        let answer = try await fixture.exchange(EngineFixture.request())
        #expect(dates(answer) == [784_111_777, 784_111_778] && answer.contains("dATE: "), "\(answer)")
    }

    @Test func `a client's own date reaches the function`() async throws {
        let fixture = try await EngineFixture()
        let line = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
        _ = try await fixture.exchange(EngineFixture.request("GET /function/fn HTTP/1.1", line))
        #expect(await fixture.origin.nextRequest().contains(line))
    }

    @Test func `a watchdog dates what its function does not, and a gateway before it leaves it at that`() async throws {
        let watchdog = try await RunningWatchdog(["fprocess": "cat"])
        let direct = try await watchdog.call()
        #expect(dates(direct).count == 1 && isNow(dates(direct)[0]), "\(direct)")
        let fixture = try await EngineFixture()
        let target = Upstream(.tcp(host: "127.0.0.1", port: watchdog.port))
        let replica = Replica(id: "w", target: target, maxInFlight: nil)
        fixture.table.apply(.changed(try EngineFixture.route(replicas: [replica])))
        let answer = try await fixture.exchange(EngineFixture.request())
        #expect(dates(answer).count == 1 && isNow(dates(answer)[0]), "\(answer)")
        #expect(await watchdog.stop() == 0)
    }

    @Test(arguments: [
        (784_111_777_250_000_000, "Sun, 06 Nov 1994 08:49:37 GMT", 750_000_000),
        (951_868_799_999_999_999, "Tue, 29 Feb 2000 23:59:59 GMT", 1),
        (0, "Thu, 01 Jan 1970 00:00:00 GMT", 1_000_000_000),
    ])
    func `a line holds until its second is over`(nanoseconds: Int64, text: String, left: Int64) {
        let now = NIODeadline.uptimeNanoseconds(5)
        let date = DateLine(Timestamp(nanosecondsSinceEpoch: nanoseconds), now: now)
        var out = ByteBuffer()
        out.writeHead(atMost: 64) { $0.write(date) }
        #expect(String(buffer: out) == "Date: \(text)\r\n")
        #expect(date.expires == now + .nanoseconds(left))
    }
}
