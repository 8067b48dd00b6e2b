// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
import NIOCore
import NIOFoundationCompat

/// A message as a stream keeps it.
struct StoredMessage: Sendable {
    let subject: String
    let sequence: UInt64
    /// The header lines, with their CR LF.
    let headers: String
    let payload: ByteBuffer

    func header(_ name: String) -> String? {
        for line in headers.split(separator: "\r\n") where line.hasPrefix("\(name):") {
            return line.dropFirst(name.count + 1).trimmingCharacters(in: .whitespaces)
        }
        return nil
    }
}

extension JetStreamServer {
    private struct Question: Encodable {
        var seq: UInt64?
        var lastBySubj: String?
        var nextBySubj: String?
    }

    private struct Found: Decodable {
        struct Message: Decodable {
            var subject: String
            var seq: UInt64
            var hdrs: Data?
            var data: Data?
        }
        var message: Message
    }

    /// The last message of a subject; nil when there is none.
    func last(of subject: String, in stream: String) async throws(PlatformFault) -> StoredMessage? {
        try await message(Question(lastBySubj: subject), in: stream)
    }

    /// The message with a sequence; nil when there is none.
    func message(_ sequence: UInt64, in stream: String) async throws(PlatformFault) -> StoredMessage? {
        try await message(Question(seq: sequence), in: stream)
    }

    /// All messages of a subject, oldest first.
    func all(of subject: String, in stream: String) async throws(PlatformFault) -> [StoredMessage] {
        var found: [StoredMessage] = []
        var next: UInt64 = 1
        while let message = try await self.next(of: subject, from: next, in: stream) {
            found.append(message)
            next = message.sequence &+ 1
        }
        return found
    }

    /// The first message of a subject from a sequence on; nil when there is none.
    func next(
        of subject: String,
        from sequence: UInt64,
        in stream: String
    ) async throws(PlatformFault) -> StoredMessage? {
        try await message(Question(seq: sequence, nextBySubj: subject), in: stream)
    }

    private func message(_ question: Question, in stream: String) async throws(PlatformFault) -> StoredMessage? {
        // Asked of the leader, not of any replica: what is read here may be changed by its sequence.
        let found = try await ask("STREAM.MSG.GET.\(stream)", question, for: Found.self)
        return found.map { found in
            StoredMessage(
                subject: found.message.subject,
                sequence: found.message.seq,
                headers: found.message.hdrs.map { String(decoding: $0, as: UTF8.self) } ?? "",
                payload: found.message.data.map { ByteBuffer(data: $0) } ?? ByteBuffer()
            )
        }
    }

    private struct Success: Decodable { var success: Bool }
    private struct Deletion: Encodable {
        var seq: UInt64
        var noErase = true
    }
    private struct Purge: Encodable {
        var filter: String
        var seq: UInt64?
    }

    /// Throws a message away, if it is still there.
    func delete(_ sequence: UInt64, from stream: String) async throws(PlatformFault) {
        // A message that is gone is refused with status 400 or 500, which is as good.
        do throws(PlatformFault) {
            _ = try await ask("STREAM.MSG.DELETE.\(stream)", Deletion(seq: sequence), for: Success.self)
        } catch  where error.cause == nil && error.message.contains("refuses") {}
    }

    /// Throws all messages of a subject away, or those up to a sequence.
    func purge(_ subject: String, upTo last: UInt64? = nil, from stream: String) async throws(PlatformFault) {
        _ = try await ask(
            "STREAM.PURGE.\(stream)",
            Purge(filter: subject, seq: last.map { $0 &+ 1 }),
            for: Success.self
        )
    }
}
