// SPDX-License-Identifier: Apache-2.0

import AsyncAlgorithms

/// A piece of an endless answer.
enum AnswerPiece<Element: Sendable>: Sendable {
    case element(Element)
    /// Nothing has come for a while, and nothing has broken off.
    case signOfLife
}

/// How the receiver of an endless answer knows that it has not broken off.
enum SignsOfLife {
    /// The time from one to the next.
    static let interval = Duration.seconds(10)

    /// The elements of a sequence, with signs of life in between.
    ///
    /// They end at the latest when all endless answers do. The next piece is asked for when the one before has been taken:
    /// a slow reader slows the sequence.
    static func between<Elements: AsyncSequence & Sendable>(
        _ elements: Elements,
        until end: EndlessAnswers
    ) -> AsyncThrowingStream<AnswerPiece<Elements.Element>, any Error> where Elements.Element: Sendable {
        let pieces = AsyncThrowingChannel<AnswerPiece<Elements.Element>, any Error>()
        // Unowned: the end of the source cancels it.
        let source = PieceSource(pieces, Task { await tell(elements, to: pieces, until: end) })
        return AsyncThrowingStream { try await source.next() }
    }

    private static func tell<Elements: AsyncSequence & Sendable>(
        _ elements: Elements,
        to pieces: AsyncThrowingChannel<AnswerPiece<Elements.Element>, any Error>,
        until end: EndlessAnswers
    ) async where Elements.Element: Sendable {
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                do {
                    for try await element in elements { await pieces.send(.element(element)) }
                    pieces.finish()
                } catch {
                    pieces.fail(error)
                }
            }
            group.addTask {
                while (try? await Task.sleep(for: interval)) != nil { await pieces.send(.signOfLife) }
            }
            group.addTask {
                for await _ in end.stream() {}
                pieces.finish()
            }
            await group.next()
            group.cancelAll()
        }
    }
}

/// Where pieces are taken from; what makes them ends with it.
private final class PieceSource<Element: Sendable>: Sendable {
    private let pieces: AsyncThrowingChannel<AnswerPiece<Element>, any Error>
    private let work: Task<Void, Never>

    init(_ pieces: AsyncThrowingChannel<AnswerPiece<Element>, any Error>, _ work: Task<Void, Never>) {
        self.pieces = pieces
        self.work = work
    }

    deinit { work.cancel() }

    func next() async throws -> AnswerPiece<Element>? {
        var iterator = pieces.makeAsyncIterator()
        return try await iterator.next()
    }
}
