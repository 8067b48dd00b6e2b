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
    private var front: FrontConnection?
    private let held: HeldBody
    private let limit: Int
    private let tooLarge: String
    private let whenWhole: (HeldBody) -> Void

    /// Reads for a front connection, at most so much; `whenWhole` is called once with the body.
    init(
        front: FrontConnection,
        limit: Int,
        tooLarge: String,
        whenWhole: @escaping (HeldBody) -> Void
    ) {
        self.front = front
        self.limit = limit
        self.tooLarge = tooLarge
        self.whenWhole = whenWhole
        held = HeldBody(front.loopContext.bodies, front.loopContext.loop)
    }

    var isWritable: Bool { front != nil && !held.isBusy }

    func takeBody(_ piece: ByteBuffer) {
        guard let front else { return }
        guard piece.readableBytes <= limit - held.length else {
            return front.refuse(PlatformFault(.bodyTooLarge, "\(tooLarge) \(limit) bytes."))
        }
        guard !held.keep(piece) else { return }
        let isSpilt = held.spill(piece) { [self] code in spilt(code) }
        if !isSpilt { front.refuse(BodyBudget.exhausted) }
    }

    private func spilt(_ code: CInt?) {
        guard let front else { return }
        guard let code else { return front.originBecameWritable() }
        front.refuse(
            PlatformFault(
                .storageUnavailable,
                "The body cannot be held: \(String(cString: strerror(code)).lowercased()).",
                hint: "Make room in the data directory; bodies are taken again as soon as there is some.",
                retryAfterSeconds: 5
            )
        )
    }

    func endBody(trailers: ByteBuffer?) {
        guard front != nil else { return }
        front = nil
        whenWhole(held)
    }

    func flush() {}

    func resumeAnswer() {}

    func abandon() { front = nil }
}

extension FrontConnection {
    /// Begins to read the body; the call goes on when it is there.
    func collectBody(_ head: RequestHead) {
        guard hasRoom(forBodyOf: head) else { return refuse(BodyBudget.exhausted) }
        origin = BodyCollector(
            front: self,
            // No buffer holds more, whatever limit is set.
            limit: min(loopContext.settings.bodyLimit ?? Self.usualBodyLimit, Int(Int32.max)),
            tooLarge: "\(functionName) reads bodies whole, and this one is larger than the limit of",
            whenWhole: { [unowned self] in bodyCollected($0) }
        )
        beginBody(head)
    }

    /// Whether a body may be held at all; one that would find no room is not asked for.
    func hasRoom(forBodyOf head: RequestHead) -> Bool {
        if case .length(let length) = head.framing { return loopContext.bodies.hasRoom(for: length) }
        return loopContext.bodies.hasRoom(for: 0)
    }

    /// Most that is held of one call where no body limit is set.
    private static var usualBodyLimit: Int { 64 * 1_048_576 }

    /// Puts what was read in front of the connection's bytes as a body of known length, so that everything behind this
    /// goes on as if the client had sent it at once.
    private func bodyCollected(_ held: HeldBody) {
        guard let entry else { return }
        origin = nil
        let length = held.length
        head?.noteBuffered(length: length)
        body = BodyDecoder(length == 0 ? .none : .length(length))
        bodyLeft = .max
        hasHandedOverBody = false
        heldBody = held
        if held.file == nil {
            var whole = held.takeBytes()
            whole.writeBuffer(&buffer)
            buffer = whole
        } else {
            held.behind = buffer
            buffer = loopContext.noBytes
        }
        takeSlot(entry)
    }

    /// Reads on in a body that lies in a file.
    func readHeld(_ held: HeldBody) {
        guard !held.isBusy, held.hasMore else { return }
        held.readPiece { [self] piece in
            guard heldBody === held else { return }
            // Behind an answer that has begun nothing can be said any more.
            guard var piece else { return answerStatus == 0 ? refuse(BodyBudget.unreadable) : close() }
            buffer.writeBuffer(&piece)
            advance()
        }
    }

    /// The call is over, and what is left of its body is nobody's any more.
    func letGoOfHeldBody() {
        guard let held = heldBody.take(), held.file != nil else { return }
        if body.isDone {
            held.behind.writeBuffer(&buffer)
        } else {
            body = BodyDecoder(.none)
        }
        buffer = held.behind
    }
}
