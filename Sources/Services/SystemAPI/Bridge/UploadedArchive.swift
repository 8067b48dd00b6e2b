// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Hummingbird
import NIOCore

/// A request's body as the pieces of an archive, which come as they are asked for.
struct UploadedArchive: AsyncSequence, Sendable {
    typealias Element = [UInt8]
    typealias Failure = any Error

    struct AsyncIterator: AsyncIteratorProtocol {
        fileprivate var pieces: RequestBody.AsyncIterator
        fileprivate let limit: Int
        private var size = 0

        fileprivate init(pieces: RequestBody.AsyncIterator, limit: Int) {
            self.pieces = pieces
            self.limit = limit
        }

        mutating func next(isolation actor: isolated (any Actor)?) async throws -> [UInt8]? {
            guard let piece = try await pieces.next(isolation: actor) else { return nil }
            size += piece.readableBytes
            guard size <= limit else {
                throw PlatformFault(.bodyTooLarge, "The bundle is larger than the limit of \(limit) bytes.")
            }
            return Array(buffer: piece)
        }
    }

    let body: RequestBody
    /// Most bytes in all.
    let limit: Int

    func makeAsyncIterator() -> AsyncIterator { AsyncIterator(pieces: body.makeAsyncIterator(), limit: limit) }
}
