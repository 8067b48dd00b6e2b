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

    @Test func `the classes of bytes are those of the standard (RFC 9110 §5.6.2)`() {
        let token = Set("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ".utf8)
        for byte in UInt8.min ... .max { #expect(ByteClass.isToken(byte) == token.contains(byte), "\(byte)") }
    }
}
