// SPDX-License-Identifier: Apache-2.0

package import NIOCore

/// Makes lines of the pieces in which one process's output comes.
///
/// A line that is too long comes in pieces of its own, cut between two characters, so that nothing is lost and no piece
/// is less of a text than the line was. Looks at each byte once, however small the pieces are that come.
package struct LineAssembler {
    /// What a limit may be, in bytes: less would make a flood of lines out of few bytes, more would let one line without
    /// an end take the memory of everybody.
    static let limits = 16...1_048_576

    private let limit: Int
    private var rest = ByteBuffer()
    /// So many of its bytes are known to hold no line end.
    private var searched = 0

    /// A limit of nil is the largest; one outside `limits` is the nearest inside.
    package init(limit: Int?) {
        self.limit = min(max(limit ?? Self.limits.upperBound, Self.limits.lowerBound), Self.limits.upperBound)
    }

    /// Takes what came; `next` is to be called until there is no line any more.
    package mutating func add(_ piece: ByteBuffer) {
        if rest.readableBytes == 0 {
            rest = piece
            searched = 0
        } else {
            rest.discardReadBytes()
            rest.writeImmutableBuffer(piece)
        }
    }

    /// The next line, without its end, or so much of one as may be in a line; nil when more has to come first.
    ///
    /// Where nothing more will come, `isLast`, what is left is a line too.
    package mutating func next(isLast: Bool = false) -> String? {
        if let end = lineEnd() {
            let length = end > 0 && byte(end - 1) == UInt8(ascii: "\r") ? end - 1 : end
            guard length <= limit else { return take(cut()) }
            return take(length, andSkip: end + 1 - length)
        }
        // The end of a line that is just as long as may be is two bytes.
        if rest.readableBytes > limit + (isLast ? 0 : 1) { return take(cut()) }
        return isLast && rest.readableBytes > 0 ? take(rest.readableBytes) : nil
    }

    private mutating func lineEnd() -> Int? {
        let view = rest.readableBytesView
        let found = view[(view.startIndex + searched)...].firstIndex(of: UInt8(ascii: "\n")).map {
            $0 - view.startIndex
        }
        searched = found ?? view.count
        return found
    }

    /// Back to where the character begins that the limit falls into; bytes that are no text are cut anywhere.
    private func cut() -> Int {
        (limit - 3...limit).last { byte($0) & 0xC0 != 0x80 } ?? limit
    }

    private func byte(_ index: Int) -> UInt8 { rest.getInteger(at: rest.readerIndex + index) ?? 0 }

    private mutating func take(_ length: Int, andSkip skipped: Int = 0) -> String? {
        let line = rest.readString(length: length)
        rest.moveReaderIndex(forwardBy: skipped)
        searched = max(0, searched - length - skipped)
        // Storage is not kept for a line that may never come.
        if rest.readableBytes == 0 { rest = ByteBuffer() }
        return line
    }
}
