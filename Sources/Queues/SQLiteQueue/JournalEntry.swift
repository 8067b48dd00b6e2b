// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import NIOCore
import QueueContract

/// The changes of one group as the journal has them.
///
/// A head of 32 bytes, then the changes one after another, filled up with zeros to whole pages. All numbers are
/// little-endian; a text or bytes have their length in front, all ones for none.
struct JournalEntry {
    private(set) var bytes = ByteBuffer()
    private static let magic: UInt32 = 0x314A_4C4D
    private static let headLength = 32
    /// Memory that one large entry needed is not kept.
    private static let mostToKeep = 1_048_576

    /// Begins an entry, in the memory of the one before.
    mutating func begin() {
        if bytes.capacity > Self.mostToKeep { bytes = ByteBuffer() }
        bytes.clear()
        bytes.writeRepeatingByte(0, count: Self.headLength)
    }

    mutating func add(_ change: RowChange) {
        switch change {
        case .accepted(let call): add(call)
        case .ended(let attempt): add(attempt)
        }
    }

    /// Ends the entry: what it belongs to, and the sum by which it is known to be whole.
    mutating func seal(sequence: UInt64, identity: UInt64) {
        bytes.writeRepeatingByte(0, count: -bytes.writerIndex & (JournalPages.pageSize - 1))
        bytes.setInteger(Self.magic, at: 0, endianness: .little)
        bytes.setInteger(UInt32(bytes.writerIndex - Self.headLength), at: 4, endianness: .little)
        bytes.setInteger(identity, at: 8, endianness: .little)
        bytes.setInteger(sequence, at: 16, endianness: .little)
        bytes.setInteger(Self.sum(of: bytes), at: 24, endianness: .little)
    }

    /// An entry as it was read.
    struct Head {
        let sequence: UInt64
        let identity: UInt64
        /// The changes.
        let payload: ByteBuffer
    }

    /// Reads an entry; nil where there is no whole one.
    static func read(_ bytes: inout ByteBuffer) -> Head? {
        var rest = bytes
        guard rest.readInteger(endianness: .little, as: UInt32.self) == magic,
            let length = rest.readInteger(endianness: .little, as: UInt32.self), length.isMultiple(of: 8),
            let identity = rest.readInteger(endianness: .little, as: UInt64.self),
            let sequence = rest.readInteger(endianness: .little, as: UInt64.self),
            let found = rest.readInteger(endianness: .little, as: UInt64.self),
            var whole = bytes.getSlice(at: bytes.readerIndex, length: headLength + Int(length))
        else { return nil }
        whole.setInteger(UInt64(0), at: 24, endianness: .little)
        guard sum(of: whole) == found else { return nil }
        bytes.moveReaderIndex(forwardBy: whole.readableBytes)
        whole.moveReaderIndex(forwardBy: headLength)
        return Head(sequence: sequence, identity: identity, payload: whole)
    }

    /// The sum of SQLite's log, over a multiple of eight bytes (https://www.sqlite.org/fileformat2.html#checksum_algorithm).
    static func sum(of bytes: ByteBuffer) -> UInt64 {
        bytes.withUnsafeReadableBytes { bytes in
            var (first, second) = (UInt32(0), UInt32(0))
            for place in stride(from: 0, to: bytes.count, by: 8) {
                let pair = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: place, as: UInt64.self))
                first &+= UInt32(truncatingIfNeeded: pair) &+ second
                second &+= UInt32(truncatingIfNeeded: pair >> 32) &+ first
            }
            return UInt64(first) | UInt64(second) << 32
        }
    }
}

// MARK: Changes

extension JournalEntry {
    private enum Kind: UInt8 {
        case filling = 0
        case accepted = 1
        case retried = 2
        case ended = 3
    }

    private mutating func add(_ accepted: AcceptedCall) {
        let call = accepted.call
        bytes.writeInteger(Kind.accepted.rawValue)
        write(accepted.number)
        write(call.acceptedAt.nanosecondsSinceEpoch)
        write(accepted.notBefore)
        write(accepted.delayedBy)
        write(accepted.id)
        write(call.callID)
        write(call.function)
        write(call.method)
        write(call.path)
        write(call.clientAddress)
        write(call.query)
        write(call.callbackURL)
        write(accepted.file)
        write(call.fields)
        write(call.body)
    }

    private mutating func add(_ ended: EndedAttempt) {
        let attempt = ended.attempt
        bytes.writeInteger((ended.isLast ? Kind.ended : .retried).rawValue)
        write(ended.number)
        write(ended.moment)
        write(ended.expiresAt)
        write(Int64(attempt.number))
        write(attempt.startedAt.nanosecondsSinceEpoch)
        write(attempt.finishedAt.nanosecondsSinceEpoch)
        write(Int64(attempt.status))
        write(ended.function)
        write(attempt.fault)
        write(ended.file)
        write(ended.isTruncated ? 1 : 0)
        switch ended.verdict {
        case .retry(let wait): write(wait.nanoseconds)
        case .end(let end, let reason, let result):
            write(Int64(CallRows.number(end.state)))
            write(reason)
            write(result, file: ended.file)
        }
    }

    private mutating func write(_ result: CallResult?, file: String?) {
        write(Int64(result?.status ?? -1))
        guard let result else { return }
        write(Int64(result.size))
        write(result.fields)
        write(file == nil ? result.body : ByteBuffer())
    }

    private mutating func write(_ number: Int64) { bytes.writeInteger(number, endianness: .little) }

    private mutating func write(_ function: FunctionID) {
        write(function.name)
        write(function.namespace)
    }

    private mutating func write(_ text: String?) {
        guard let text else {
            bytes.writeInteger(UInt32.max, endianness: .little)
            return
        }
        bytes.writeInteger(UInt32(text.utf8.count), endianness: .little)
        bytes.writeString(text)
    }

    private mutating func write(_ part: ByteBuffer) {
        bytes.writeInteger(UInt32(part.readableBytes), endianness: .little)
        bytes.writeImmutableBuffer(part)
    }

    /// Reads changes; nil where they are of a kind that this version does not know.
    static func changes(in payload: ByteBuffer) -> [RowChange]? {
        var reader = JournalReader(bytes: payload)
        var changes: [RowChange] = []
        while let kind: UInt8 = reader.bytes.readInteger() {
            switch Kind(rawValue: kind) {
            case .filling: continue
            case .accepted:
                guard let call = reader.acceptedCall() else { return nil }
                changes.append(.accepted(call))
            case .retried, .ended:
                guard let attempt = reader.endedAttempt(isLast: kind == Kind.ended.rawValue) else { return nil }
                changes.append(.ended(attempt))
            case nil: return nil
            }
        }
        return changes
    }
}

/// Reads what `JournalEntry` wrote.
private struct JournalReader {
    var bytes: ByteBuffer

    mutating func acceptedCall() -> AcceptedCall? {
        guard let number = number(), let acceptedAt = moment(), let notBefore = self.number(),
            let delayedBy = self.number(), let id = text(), let callID = text(), let function = function(),
            let method = text(), let path = text(), let client = text(),
            let query = optionalText(), let callbackURL = optionalText(), let file = optionalText(),
            let fields = buffer(), let body = buffer()
        else { return nil }
        let call = NewCall(
            function: function,
            method: method,
            path: path,
            query: query.value,
            fields: fields,
            body: body,
            clientAddress: client,
            callID: callID,
            callbackURL: callbackURL.value,
            acceptedAt: acceptedAt
        )
        return AcceptedCall(call, file: file.value, id: id, number: number, notBefore: notBefore, delayedBy: delayedBy)
    }

    mutating func endedAttempt(isLast: Bool) -> EndedAttempt? {
        guard let number = number(), let moment = self.number(), let expiresAt = self.number(),
            let attempt = self.number(), let startedAt = self.moment(), let finishedAt = self.moment(),
            let status = self.number(), let function = function(),
            let fault = optionalText(), let file = optionalText(), let isTruncated = self.number(),
            let verdict = isLast ? end() : self.number().map({ .retry(after: .nanoseconds($0)) })
        else { return nil }
        let ended = CallAttempt(
            number: Int(attempt),
            startedAt: startedAt,
            finishedAt: finishedAt,
            status: Int(status),
            fault: fault.value
        )
        return EndedAttempt(
            ended,
            of: number,
            function,
            verdict,
            file: file.value,
            isTruncated: isTruncated != 0,
            moment: moment,
            expiresAt: expiresAt
        )
    }

    private mutating func end() -> CallVerdict? {
        guard let state = number(), let end = CallEnd(CallRows.state(Int(state))), let reason = optionalText(),
            let status = number()
        else { return nil }
        guard status >= 0 else { return .end(end, reason: reason.value, result: nil) }
        guard let size = number(), let fields = buffer(), let body = buffer() else { return nil }
        let result = CallResult(status: Int(status), fields: fields, body: body, size: Int(size))
        return .end(end, reason: reason.value, result: result)
    }

    private mutating func number() -> Int64? { bytes.readInteger(endianness: .little) }

    private mutating func moment() -> Timestamp? { number().map { Timestamp(nanosecondsSinceEpoch: $0) } }

    private mutating func function() -> FunctionID? {
        guard let name = text(), let namespace = text() else { return nil }
        return FunctionID(name: name, namespace: namespace)
    }

    /// A value that may be missing, which is not the same as one that cannot be read.
    private struct Optionally<Value> {
        let value: Value?
    }

    private mutating func optionalText() -> Optionally<String>? {
        guard let length: UInt32 = bytes.readInteger(endianness: .little) else { return nil }
        guard length != .max else { return Optionally(value: nil) }
        return bytes.readString(length: Int(length)).map { Optionally(value: $0) }
    }

    private mutating func text() -> String? { optionalText()?.value }

    private mutating func buffer() -> ByteBuffer? {
        bytes.readInteger(endianness: .little, as: UInt32.self).flatMap { bytes.readSlice(length: Int($0)) }
    }
}

extension CallEnd {
    /// The end that a state is; nil for the states that no attempt leads to.
    fileprivate init?(_ state: CallState) {
        switch state {
        case .succeeded: self = .succeeded
        case .failed: self = .failed
        case .dead: self = .dead
        default: return nil
        }
    }
}
