// SPDX-License-Identifier: Apache-2.0

/// The members of a list without the white space around them, empty ones among them (RFC 9110 §5.6.1).
struct ListMembers: Sequence, IteratorProtocol {
    private var rest: Range<Int>
    private let head: UnsafeRawBufferPointer

    init(_ value: Range<Int>, in head: UnsafeRawBufferPointer) {
        rest = value
        self.head = head
    }

    mutating func next() -> Range<Int>? {
        guard !rest.isEmpty else { return nil }
        var end = rest.lowerBound
        while end < rest.upperBound, head[end] != UInt8(ascii: ",") { end += 1 }
        defer { rest = Swift.min(end + 1, rest.upperBound)..<rest.upperBound }
        return FieldName.trimmed(rest.lowerBound..<end, in: head)
    }
}

/// What a client offers to speak from here on (RFC 9110 §7.8).
///
/// Another version of HTTP is a matter of this connection alone, and not spoken here: `h2c` offered to a function would
/// be spoken behind the gateway's back.
enum UpgradeList {
    /// Whether something else is offered.
    static func offersMore(_ value: Range<Int>, in head: UnsafeRawBufferPointer) -> Bool {
        ListMembers(value, in: head).contains { passes($0, in: head) }
    }

    fileprivate static func passes(_ member: Range<Int>, in head: UnsafeRawBufferPointer) -> Bool {
        let name = UnsafeRawBufferPointer(rebasing: head[member])
        return !name.isEmpty && !equalsIgnoringCase(name, "h2c") && !equalsIgnoringCase(name, "h2")
            && !hasPrefix(name, "http/")
    }
}

extension HeadWriter {
    /// Writes what passes of a list of offers; at most twice as long as the list.
    mutating func writeOffers(_ value: Range<Int>, in head: UnsafeRawBufferPointer) {
        var isFirst = true
        for member in ListMembers(value, in: head) where UpgradeList.passes(member, in: head) {
            if !isFirst { write(", ") }
            isFirst = false
            write(head, member)
        }
    }
}
