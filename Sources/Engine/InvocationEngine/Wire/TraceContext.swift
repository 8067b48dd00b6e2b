// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// The trace that a call is part of (W3C Trace Context §3.2): the client's, passed on untouched, or a new one.
///
/// Martlet reports no span of its own, so a new parent id would only break the chain between client and function.
enum TraceContext {
    case none
    /// The value of the client's `traceparent`.
    case client(Range<Int>)
    /// A new trace: 128 bits of its id, and the parent's 64.
    case new(UInt64, UInt64, UInt64)

    /// Whether a value is a well-formed `traceparent`; where it is not, a new trace begins.
    static func isValid(_ value: UnsafeRawBufferPointer) -> Bool {
        guard value.count >= 55, value[2] == hyphen, value[35] == hyphen, value[52] == hyphen else { return false }
        let (version, trace, parent, flags) = (value[0..<2], value[3..<35], value[36..<52], value[53..<55])
        guard [version, trace, parent, flags].allSatisfy({ $0.allSatisfy(isLowerHex) }) else { return false }
        guard !version.elementsEqual("ff".utf8), trace.contains(where: { $0 != zero }),
            parent.contains(where: { $0 != zero })
        else { return false }
        // Version 0 ends here; later ones may go on behind a hyphen.
        return value.count == 55 || (!version.elementsEqual("00".utf8) && value[55] == hyphen)
    }

    private static var hyphen: UInt8 { UInt8(ascii: "-") }
    private static var zero: UInt8 { UInt8(ascii: "0") }

    private static func isLowerHex(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte)
    }

    /// The trace's id for logs.
    func id(in head: ByteBuffer) -> String {
        switch self {
        case .none: return ""
        case .client(let range): return head.getString(at: head.readerIndex + range.lowerBound + 3, length: 32) ?? ""
        case .new(let high, let low, _):
            var text = ByteBuffer()
            text.writeHead(atMost: 32) { out in
                out.writeHexadecimal(high)
                out.writeHexadecimal(low)
            }
            return String(buffer: text)
        }
    }

    /// The value of the `traceparent` that begins a trace here; nil where one is continued.
    var newParent: String? {
        guard case .new(let high, let low, let parent) = self else { return nil }
        var text = ByteBuffer()
        text.writeHead(atMost: 55) { $0.writeTraceParent(high, low, parent) }
        return String(buffer: text)
    }
}

extension HeadWriter {
    /// Begins a trace, sampled, as those who sample by their parent would sample everything without one.
    mutating func writeNewTrace(_ trace: TraceContext) {
        guard case .new(let high, let low, let parent) = trace else { return }
        write("traceparent: ")
        writeTraceParent(high, low, parent)
        write("\r\n")
    }

    fileprivate mutating func writeTraceParent(_ high: UInt64, _ low: UInt64, _ parent: UInt64) {
        write("00-")
        writeHexadecimal(high)
        writeHexadecimal(low)
        write(byte: UInt8(ascii: "-"))
        writeHexadecimal(parent)
        write("-01")
    }
}
