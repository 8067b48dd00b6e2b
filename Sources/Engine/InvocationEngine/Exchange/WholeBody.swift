// SPDX-License-Identifier: Apache-2.0

import FaultModel
import NIOCore

/// A request's body that is there whole before the request is carried out, on its way to the origin.
final class WholeBody {
    /// What goes over next.
    private var ready: ByteBuffer
    /// What lies in a file, and what all of it takes of the memory for bodies.
    private let held: HeldBody?
    private var isHandedOver = false

    /// One that is in memory.
    init(_ bytes: ByteBuffer) {
        ready = bytes
        held = nil
    }

    /// One that was held until it was whole.
    init(_ held: HeldBody) {
        ready = held.takeBytes()
        self.held = held
    }

    /// Another origin gets it; nothing of it was handed to the one before.
    func begin() { isHandedOver = false }

    /// Hands it over, as fast as the origin takes it.
    func hand(to origin: any Origin, of exchange: Exchange) {
        while !isHandedOver, origin.isWritable {
            if ready.readableBytes > 0 {
                let piece = ready
                ready = ByteBuffer()
                exchange.state.noteBody()
                origin.takeBody(piece)
            } else if let held, held.hasMore {
                return read(held, exchange)
            } else if held?.isBusy != true {
                isHandedOver = true
                origin.endBody(trailers: nil)
            } else {
                return
            }
        }
    }

    /// Reads on in the file; the origin may be another one by the time it is done.
    private func read(_ held: HeldBody, _ exchange: Exchange) {
        guard !held.isBusy else { return }
        held.readPiece { [self] piece in
            guard exchange.wholeBody === self else { return }
            guard let piece else { return exchange.giveUp(for: BodyBudget.unreadable) }
            ready = piece
            exchange.feed()
        }
    }
}

extension Exchange {
    /// Lets the body flow on: the one that is here whole, or the client's.
    final func feed() {
        if let wholeBody, let origin { wholeBody.hand(to: origin, of: self) }
        feedBody()
    }
}
