// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// What the platform adds to a call and to its answer (contract §5.1).
struct CallFacts {
    /// `X-Call-Id`.
    var callID = CallID.none
    /// `X-Start-Time`: nanoseconds since 1970.
    var startTime: UInt64 = 0
    /// The trace that the call is part of.
    var trace = TraceContext.none
    /// When the call began, for durations.
    var begun = NIODeadline.uptimeNanoseconds(0)

    /// Room that `HeadWriter.write(_:)` needs for them.
    var room: Int {
        switch callID {
        case .none, .made: 128
        case .client(let bytes): bytes.readableBytes + 128
        case .kept(let text): text.utf8.count + 128
        }
    }
}

/// The id of a call: the client's, or a random UUID of ours, which is written only where it is needed.
enum CallID {
    case none
    case client(ByteBuffer)
    /// The queue's, of a call that it has accepted.
    case kept(String)
    case made(UInt64, UInt64)

    /// For logs and variables.
    var text: String {
        switch self {
        case .none: return ""
        case .client(let bytes): return String(buffer: bytes)
        case .kept(let text): return text
        case .made(let high, let low):
            var out = ByteBuffer()
            out.writeHead(atMost: 36) { $0.writeUUID(high, low) }
            return String(buffer: out)
        }
    }
}

extension HeadWriter {
    /// Writes `X-Call-Id` and `X-Start-Time` where there is an id.
    mutating func write(_ facts: CallFacts) {
        switch facts.callID {
        case .none: return
        case .client(let bytes):
            write("X-Call-Id: ")
            bytes.withUnsafeReadableBytes { write($0) }
        case .kept(let text):
            write("X-Call-Id: ")
            writeString(text)
        case .made(let high, let low):
            write("X-Call-Id: ")
            writeUUID(high, low)
        }
        write("\r\nX-Start-Time: ")
        writeDecimal(facts.startTime)
        write("\r\n")
    }
}
