// SPDX-License-Identifier: Apache-2.0

public import FaultModel

/// An archive on its way, whose end before its time is a fault (`ImageFacet.storeBundle`).
///
/// Pieces are taken from the archive as they are asked for.
public struct ArchivePieces<Archive: AsyncSequence<[UInt8], any Error> & Sendable>: AsyncSequence, Sendable {
    /// Bytes of the archive.
    public typealias Element = [UInt8]
    /// The archive's own fault, or `malformedBody`.
    public typealias Failure = PlatformFault

    /// Takes the pieces in turn.
    public struct AsyncIterator: AsyncIteratorProtocol {
        fileprivate var pieces: Archive.AsyncIterator

        /// The next piece; nil at the end.
        public mutating func next(isolation actor: isolated (any Actor)?) async throws(PlatformFault) -> [UInt8]? {
            do { return try await pieces.next(isolation: actor) } catch {
                throw error as? PlatformFault
                    ?? PlatformFault(
                        .malformedBody,
                        "The bundle's archive broke off before its end.",
                        hint: "Upload it again.",
                        cause: error
                    )
            }
        }
    }

    private let archive: Archive

    /// Wraps an archive.
    public init(_ archive: Archive) { self.archive = archive }

    /// Begins at the archive's beginning.
    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(pieces: archive.makeAsyncIterator()) }
}
