// SPDX-License-Identifier: Apache-2.0

import NIOCore
import TestSupport
import Testing

@testable import InvocationEngine

/// The quick ways say the same as the plain ones.
struct WireTests {
    private func written(_ body: (inout HeadWriter) -> Void) -> String {
        var buffer = ByteBuffer()
        buffer.writeHead(atMost: 64, body)
        return String(buffer: buffer)
    }

    @Test func `numbers are written as Swift writes them`() {
        var random = SeededGenerator()
        var numbers: [UInt64] = [0, 1, 9, 10, 99, 100, 101, 999, 1000, .max, .max - 1, 1 << 32]
        numbers += [99_999_999, 100_000_000, 100_000_001, 9_999_999_999_999_999, 10_000_000_000_000_000]
        numbers += (0..<2000).map { _ in random.next() >> UInt64.random(in: 0..<64, using: &random) }
        for number in numbers {
            #expect(written { $0.writeDecimal(number) } == String(number))
            #expect(written { $0.writeShortHexadecimal(number) } == String(number, radix: 16))
            let digits = String(number, radix: 16)
            #expect(
                written { $0.writeHexadecimal(number) } == String(repeating: "0", count: 16 - digits.count) + digits
            )
        }
        #expect(written { $0.writeSeconds(nanoseconds: 1_234_567_890) } == "1.234567")
        #expect(written { $0.writeSeconds(nanoseconds: 5_999) } == "0.000005")
    }

    @Test func `ids are UUIDs of version 4 that hold what they were made of (RFC 9562 §5.4)`() {
        let id = written { $0.writeUUID(0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210) }
        #expect(id == "01234567-89ab-4def-bedc-ba9876543210")
    }

    @Test func `a value is checked eight bytes at a time as it is byte by byte`() {
        var random = SeededGenerator()
        for _ in 0..<20_000 {
            var bytes = (0..<Int.random(in: 0...40, using: &random)).map { _ in
                UInt8.random(in: 0x20...0x7e, using: &random)
            }
            if !bytes.isEmpty, Bool.random(using: &random) {
                bytes[Int.random(in: bytes.indices, using: &random)] = UInt8.random(in: .min ... .max, using: &random)
            }
            let plain = bytes.allSatisfy(ByteClass.isFieldValue)
            #expect(bytes.withUnsafeBytes { ByteClass.areFieldValue($0) } == plain, "\(random) \(bytes)")
        }
    }

    @Test func `a word of a name ends where the first byte is no letter and no hyphen`() {
        let word = Set("-abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ".utf8)
        for byte in UInt8.min ... .max {
            for place in 0..<16 {
                var bytes = Array("Aa-zZ-aAbYz-mN-k--------".utf8)
                bytes[place] = byte
                let end = bytes.withUnsafeBytes { ByteClass.endOfWord(in: $0, from: 0) }
                #expect(end == (word.contains(byte) ? 24 : place), "\(byte) at \(place)")
            }
        }
        // Less than eight bytes are left to others.
        #expect("Accept:".utf8.withContiguousStorageIfAvailable { ByteClass.endOfWord(in: .init($0), from: 0) } == 0)
    }

    @Test func `names of fields are recognised in any case, and nothing that only looks like them`() {
        func name(_ text: String) -> FieldName { Array(text.utf8).withUnsafeBytes { FieldName.recognise($0) } }
        for (text, field) in Self.names {
            #expect(name(text) == field && name(text.uppercased()) == field)
            // One byte off, at each place.
            for index in text.utf8.indices {
                for byte in "!#$&'*+.^_`|~0Q".utf8 {
                    var bytes = Array(text.utf8)
                    bytes[text.utf8.distance(from: text.startIndex, to: index)] = byte
                    let found = bytes.withUnsafeBytes { FieldName.recognise($0) }
                    #expect(found == .other, "\(String(decoding: bytes, as: UTF8.self))")
                }
            }
        }
    }

    private static let names: [(String, FieldName)] = [
        ("te", .te), ("host", .host), ("date", .date), ("expect", .expect), ("accept", .accept), ("trailer", .trailer),
        ("upgrade", .upgrade), ("x-call-id", .xCallID), ("x-timeout", .xTimeout), ("connection", .connection),
        ("tracestate", .traceState), ("traceparent", .traceParent), ("keep-alive", .keepAlive),
        ("user-agent", .userAgent), ("x-served-by", .xServedBy), ("content-type", .contentType),
        ("x-start-time", .xStartTime), ("content-length", .contentLength), ("http2-settings", .http2Settings),
        ("x-forwarded-for", .xForwardedFor), ("x-forwarded-host", .xForwardedHost),
        ("proxy-connection", .proxyConnection), ("transfer-encoding", .transferEncoding),
        ("proxy-authenticate", .proxyAuthenticate), ("x-duration-seconds", .xDurationSeconds),
        ("proxy-authorization", .proxyAuthorization),
    ]

    @Test func `the classes of bytes are those of the standard (RFC 9110 §5.6.2)`() {
        let token = Set("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ".utf8)
        for byte in UInt8.min ... .max { #expect(ByteClass.isToken(byte) == token.contains(byte), "\(byte)") }
    }
}
