// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import NIOCore

/// Reads a request's body whole before the function hears of the call (contract §15.2, `http_buffer_req_body`).
///
/// What was read is put back in front of the connection's bytes as a body of known length, so everything behind this
/// goes on as if the client had sent it at once.
final class BodyCollector: Origin {
    private var front: FrontConnection?
    private var collected = ByteBuffer()
    private let limit: Int
    private let tooLarge: String
    private let whenWhole: (ByteBuffer) -> Void

    /// Reads for a front connection, at most so much; `whenWhole` is called once with the body.
    init(
        front: FrontConnection,
        limit: Int,
        tooLarge: String,
        whenWhole: @escaping (ByteBuffer) -> Void
    ) {
        self.front = front
        self.limit = limit
        self.tooLarge = tooLarge
        self.whenWhole = whenWhole
    }

    var isWritable: Bool { front != nil }

    func takeBody(_ piece: ByteBuffer) {
        guard let front else { return }
        guard collected.readableBytes + piece.readableBytes <= limit else {
            return front.refuse(PlatformFault(.bodyTooLarge, "\(tooLarge) \(limit) bytes."))
        }
        collected.writeImmutableBuffer(piece)
    }

    func endBody(trailers: ByteBuffer?) {
        guard front != nil else { return }
        front = nil
        // Handed on without a second reference, so that more can be added without a copy.
        let whole = collected
        collected = ByteBuffer()
        whenWhole(whole)
    }

    func flush() {}

    func resumeAnswer() {}

    func abandon() { front = nil }
}

extension FrontConnection {
    /// Begins to read the body; the call goes on when it is there.
    func collectBody(_ head: RequestHead) {
        origin = BodyCollector(
            front: self,
            limit: loopContext.settings.bodyLimit ?? Self.usualBodyLimit,
            tooLarge: "\(functionName) reads bodies whole, and this one is larger than the limit of",
            whenWhole: { [unowned self] in bodyCollected($0) }
        )
        beginBody(head)
    }

    /// Most that is held of one call where no body limit is set.
    private static var usualBodyLimit: Int { 64 * 1_048_576 }

    private func bodyCollected(_ bytes: ByteBuffer) {
        guard let entry else { return }
        origin = nil
        head?.noteBuffered(length: bytes.readableBytes)
        body = BodyDecoder(bytes.readableBytes == 0 ? .none : .length(bytes.readableBytes))
        bodyLeft = .max
        hasHandedOverBody = false
        var whole = bytes
        whole.writeBuffer(&buffer)
        buffer = whole
        takePlace(entry)
    }
}
