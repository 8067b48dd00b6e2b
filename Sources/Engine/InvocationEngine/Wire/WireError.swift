// SPDX-License-Identifier: Apache-2.0

package import FaultModel
import NIOCore

/// A message that breaks the protocol.
///
/// Carries no allocation: it is made on the hot path of an attack.
package struct WireError: Error {
    /// What the breach is when a client sent it.
    package let code: FaultCode
    /// The rule that was broken, as a sentence.
    package let reason: StaticString

    init(_ reason: StaticString, code: FaultCode = .malformedRequest) {
        self.code = code
        self.reason = reason
    }
}

extension WireError {
    /// The fault for a client that sent this.
    var clientFault: PlatformFault { PlatformFault(code, "The request is malformed: \(reason)") }

    /// The fault for a function that answered this.
    func functionFault(_ function: String) -> PlatformFault {
        PlatformFault(.functionBadAnswer, "The answer of \(function) is malformed: \(reason)")
    }
}

extension ByteBuffer {
    /// Lends the readable bytes to what may find a message's breach in them.
    @inline(__always)
    func withBytes<Value>(
        _ body: (UnsafeRawBufferPointer) throws(WireError) -> Value
    ) throws(WireError) -> Value {
        try readableBytesSpan.withUnsafeBytes(body)
    }
}
