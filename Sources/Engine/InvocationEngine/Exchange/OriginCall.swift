// SPDX-License-Identifier: Apache-2.0

package import FaultModel
package import NIOCore

/// One call as those see it who carry it out: what it asks for, and the way back to its client.
///
/// Confined to its event loop. From `carryOut` on the origin answers by the methods below; once it has said that the
/// answer is over, or has been told so by `abandon`, it says nothing more.
extension OriginCall {
    init(_ exchange: Exchange) { self.init(object: exchange) }

    var exchange: Exchange {
        @inline(__always) get { unsafeDowncast(object, to: Exchange.self) }  // nothing else makes one
    }

    /// The event loop that everything happens on.
    package var loop: any EventLoop { exchange.loopContext.loop }

    /// The function's name, for sentences.
    package var functionName: String { exchange.functionName }

    /// Names what carries the call out from now on; the request's body begins to flow to it.
    package func carryOut(by origin: any Origin) { exchange.carryOut(by: origin) }

    /// Ends the call with a fault, or breaks off an answer that has begun.
    package func refuse(_ fault: PlatformFault) { exchange.failed(fault) }

    // MARK: The answer

    /// Whether the client takes more of an answer; when it does again the origin's `resumeAnswer` is called.
    package var canTakeAnswer: Bool { exchange.canTakeAnswer }

    /// Begins the answer, of a length in bytes where it is known.
    package func answerHead(status: Int, headers: [(name: String, value: String)], length: Int?) {
        exchange.answerHead(status: status, framing: length.map { .length($0) } ?? .chunked) { out in
            for (name, value) in headers { out.writeString("\(name): \(value)\r\n") }
        }
    }

    /// Adds a piece of the body, which goes out with the next flush.
    package func answerBody(_ piece: ByteBuffer) { exchange.answerBody(piece) }

    /// Sends what was gathered.
    package func flushAnswer() { exchange.flushAnswer() }

    /// The answer is complete.
    package func answerEnded() { exchange.answerEnded(trailers: nil) }

    /// The origin takes more of the request's body again.
    package func originBecameWritable() { exchange.originBecameWritable() }
}
