// SPDX-License-Identifier: Apache-2.0

import Foundation
import NIOCore
import ProviderContract
import TestSupport
import Testing

@testable import InvocationEngine

/// What parsers of bytes from outside promise for any bytes at all.
struct FuzzTests {
    private static let requests = [
        "GET /function/fn/a?b HTTP/1.1\r\nHost: a\r\nX-Call-Id: 1\r\nAccept: */*\r\n\r\n",
        "POST http://a:1/x HTTP/1.1\r\nHost: b\r\nContent-Length: 5\r\nConnection: close, X-A\r\nX-A: 1\r\n\r\n",
        "PUT /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\nUpgrade: x\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\nTraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n",
    ].map { Array($0.utf8) }

    private static let answers = [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n",
        "HTTP/1.0 404 Not Found\r\nContent-Type: text/event-stream\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        "HTTP/1.1 204\r\nTransfer-Encoding: chunked\r\n\r\n",
    ].map { Array($0.utf8) }

    /// What became of some bytes: how many were the head and what it said, or why it was refused.
    private func outcome(
        _ bytes: [UInt8],
        piece: Int,
        _ parse: (borrowing HeadScanner, [UInt8]) throws -> String
    ) -> String {
        var scanner = HeadScanner()
        for end in stride(from: piece, to: bytes.count + piece, by: piece) {
            let seen = Array(bytes.prefix(end))
            do {
                guard let length = try seen.withUnsafeBytes({ try scanner.scan($0, limit: 4096) }) else { continue }
                return "\(length) " + (try parse(scanner, Array(seen.prefix(length))))
            } catch {
                return "refused"
            }
        }
        return "more"
    }

    private func request(_ scanner: borrowing HeadScanner, _ bytes: [UInt8]) throws -> String {
        try bytes.withUnsafeBytes { raw in
            let head = try RequestHead(scanner.startLine, scanner.fields, in: raw)
            // What the head points to lies within it, and what goes on is one line per line.
            var out = ByteBuffer()
            let forwarded = ForwardedRequest(
                identifiesCalls: true,
                head: head,
                facts: CallFacts(),
                clientAddress: "1",
                rest: head.target,
                server: UpstreamServer(Upstream(.tcp(host: "h", port: 1)), security: nil),
                userAgent: "u"
            )
            forwarded.write(to: &out, from: raw, scanner.fields)
            let text = String(buffer: out)
            #expect(text.hasSuffix("\r\n\r\n") && text.components(separatedBy: "\r\n\r\n").count == 2)
            #expect(!text.replacing("\r\n", with: "").contains { $0 == "\r" || $0 == "\n" || $0 == "\r\n" })
            return "\(head.method) \(head.target) \(head.pathEnd) \(head.framing) \(head.keepsAlive) \(head.host)"
        }
    }

    private func answer(_ scanner: borrowing HeadScanner, _ bytes: [UInt8]) throws -> String {
        try bytes.withUnsafeBytes { raw in
            let head = try ResponseHead(scanner.startLine, scanner.fields, in: raw, toHEAD: false)
            #expect((100...999).contains(head.status))
            return "\(head.status) \(head.framing) \(head.keepsAlive) \(head.isStream)"
        }
    }

    @Test func `a head means the same however its bytes arrive`() {
        var random = SeededGenerator()
        for _ in 0..<4000 {
            let bytes = random.mutated(Self.requests.randomElement(using: &random) ?? [])
            let whole = outcome(bytes, piece: bytes.count + 1, request)
            #expect(
                outcome(bytes, piece: Int.random(in: 1...7, using: &random), request) == whole,
                "\(random) \(bytes)"
            )
            let reply = random.mutated(Self.answers.randomElement(using: &random) ?? [])
            let read = outcome(reply, piece: reply.count + 1, answer)
            #expect(outcome(reply, piece: Int.random(in: 1...7, using: &random), answer) == read, "\(random) \(reply)")
            _ = outcome(random.bytes(upTo: 200), piece: 50, request)
        }
    }

    /// The content of chunks, or why not.
    private func decoded(_ bytes: [UInt8], piece: Int) -> (content: [UInt8], end: String) {
        var decoder = ChunkedDecoder()
        var buffer = ByteBuffer()
        var content: [UInt8] = []
        for start in stride(from: 0, to: bytes.count, by: piece) {
            buffer.writeBytes(bytes[start..<min(start + piece, bytes.count)])
            do {
                while let event = try decoder.next(&buffer) {
                    switch event {
                    case .data(let data): content += Array(buffer: data)
                    case .end(let trailers):
                        let rest = buffer.readableBytes + bytes.count - min(start + piece, bytes.count)
                        return (content, "end \(trailers.map { String(buffer: $0) } ?? "") \(rest)")
                    }
                }
            } catch {
                return (content, "refused")
            }
        }
        return (content, "more")
    }

    @Test func `chunks give their content back, and garbage is refused in the same place`() {
        var random = SeededGenerator()
        for _ in 0..<2000 {
            let content = random.bytes(upTo: 300)
            var wire: [UInt8] = []
            var rest = content[...]
            while !rest.isEmpty {
                let chunk = rest.prefix(Int.random(in: 1...100, using: &random))
                rest = rest.dropFirst(chunk.count)
                let note = Bool.random(using: &random) ? ";a=b" : ""
                wire += Array("\(String(chunk.count, radix: 16))\(note)\r\n".utf8) + chunk + [0x0D, 0x0A]
            }
            wire += Array("0\r\nX-T: 1\r\n\r\nnext".utf8)
            let whole = decoded(wire, piece: Int.random(in: 1...400, using: &random))
            #expect(whole.content == content && whole.end == "end X-T: 1\r\n 4", "\(random)")
            let broken = random.mutated(wire)
            let once = decoded(broken, piece: broken.count + 1)
            let pieces = decoded(broken, piece: Int.random(in: 1...9, using: &random))
            #expect(once.end == pieces.end, "\(random) \(broken)")
            if once.end != "refused" { #expect(once.content == pieces.content, "\(random)") }
        }
    }

    @Test func `no path leads out of a folder, and no range out of a file`() {
        var random = SeededGenerator()
        let parts = ["..", ".", "a", "", "%2e", "b.c", "\u{0}", "…", "\u{301}x"]
        for _ in 0..<5000 {
            let path = (0..<6).map { _ in parts.randomElement(using: &random) ?? "" }.joined(separator: "/")
            let clean = FileLookup.cleaned(path)
            let ways = clean.utf8.split(separator: UInt8(ascii: "/"))
            #expect(clean.utf8.first == UInt8(ascii: "/"), "\(random) \(path)")
            #expect(!ways.contains { $0.elementsEqual("..".utf8) }, "\(random) \(path)")
            let size = Int.random(in: 0...50, using: &random)
            let text = String(decoding: random.mutated(Array("bytes=10-20".utf8)), as: UTF8.self)
            if case .part(let part) = ByteRange(text, size: size) {
                #expect(part.lowerBound >= 0 && part.upperBound <= size && !part.isEmpty, "\(random) \(text) \(size)")
            }
        }
        #expect(ByteRange("bytes=0-9223372036854775807", size: 5) == .part(0..<5))
        #expect(ByteRange("bytes=-3", size: 5) == .part(2..<5))
        #expect(ByteRange("bytes=5-", size: 5) == .unsatisfiable)
        #expect(ByteRange("bytes=1-2,3-4", size: 5) == .whole)
    }

    @Test func `garbage on a connection harms nobody else`() async throws {
        var random = SeededGenerator()
        let fixture = try await EngineFixture { request in
            request.contains("/good")
                ? [.send(EngineFixture.ok)] : [.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")]
        }
        for _ in 0..<200 {
            let bytes = random.mutated(Self.requests.randomElement(using: &random) ?? [])
            let connection = try RawConnection(port: fixture.port)
            try? await connection.send(String(decoding: bytes, as: UTF8.self))
            connection.close()
        }
        let answer = try await fixture.exchange(EngineFixture.request("GET /function/fn/good HTTP/1.1"))
        #expect(answer.hasSuffix("ok"), "\(random)")
        #expect(await eventually { fixture.replica.inFlight == 0 }, "\(random)")
    }
}
