// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import Glibc
import NIOCore

/// Reads a request's body whole before anybody else hears of the call: for functions that want it so (contract §15.2,
/// `http_buffer_req_body`), and for calls that are carried out later.
///
/// Reads on only while what came has a place: memory, or a file when there is none.
final class BodyCollector: Origin {
    private var exchange: Exchange?
    private let held: HeldBody
    private let limit: Int
    private let tooLarge: String
    private let whenWhole: (HeldBody) -> Void

    /// Reads for an exchange, at most so much; `whenWhole` is called once with the body.
    init(
        _ exchange: Exchange,
        limit: Int,
        tooLarge: String,
        whenWhole: @escaping (HeldBody) -> Void
    ) {
        self.exchange = exchange
        self.limit = limit
        self.tooLarge = tooLarge
        self.whenWhole = whenWhole
        held = HeldBody(exchange.calls.bodies, exchange.loopContext.loop)
    }

    var isWritable: Bool { exchange != nil && !held.isBusy }

    func takeBody(_ piece: ByteBuffer) {
        guard let exchange else { return }
        guard piece.readableBytes <= limit - held.length else {
            return exchange.refuse(PlatformFault(.bodyTooLarge, "\(tooLarge) \(limit) bytes."))
        }
        guard !held.keep(piece) else { return }
        let isSpilt = held.spill(piece) { [self] code in spilt(code) }
        if !isSpilt { exchange.refuse(BodyBudget.exhausted) }
    }

    private func spilt(_ code: CInt?) {
        guard let exchange else { return }
        guard let code else { return exchange.originBecameWritable() }
        exchange.refuse(
            PlatformFault(
                .storageUnavailable,
                "The body cannot be held: \(String(cString: strerror(code)).lowercased()).",
                hint: "Make room in the data directory; bodies are taken again as soon as there is some.",
                retryAfterSeconds: 5
            )
        )
    }

    func endBody(trailers: ByteBuffer?) {
        guard exchange != nil else { return }
        exchange = nil
        whenWhole(held)
    }

    func flush() {}

    func resumeAnswer() {}

    func abandon() { exchange = nil }
}

extension Exchange {
    /// Begins to read the body; the call goes on when it is there.
    final func collectBody(_ head: RequestHead) {
        guard hasRoom(forBodyOf: head) else { return refuse(BodyBudget.exhausted) }
        state.collect()
        let collector = BodyCollector(
            self,
            // No buffer holds more, whatever limit is set.
            limit: min(loopContext.limits.bodyBytes ?? Self.usualBodyLimit, Int(Int32.max)),
            tooLarge: "\(functionName) reads bodies whole, and this one is larger than the limit of",
            whenWhole: { [unowned self] in bodyCollected($0) }
        )
        carryOut(by: collector)
    }

    /// Whether a body may be held at all; one that would find no room is not asked for.
    final func hasRoom(forBodyOf head: RequestHead) -> Bool {
        if case .length(let length) = head.framing { return calls.bodies.hasRoom(for: length) }
        return calls.bodies.hasRoom(for: 0)
    }

    /// Most that is held of one call where no body limit is set.
    private static var usualBodyLimit: Int { 64 * 1_048_576 }

    /// From here on the body is one of known length, which is there.
    private func bodyCollected(_ held: HeldBody) {
        guard let entry else { return }
        origin = nil
        head?.noteBuffered(length: held.length)
        wholeBody = WholeBody(held)
        takeSlot(entry)
    }
}
