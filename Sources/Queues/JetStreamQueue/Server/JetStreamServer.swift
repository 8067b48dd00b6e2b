// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
import FunctionModel
import NATSClient
import NIOCore
import NIOFoundationCompat
import Synchronization

/// What a JetStream server offers, over one connection.
///
/// The API is JSON by request and reply: https://docs.nats.io/reference/reference-protocols/nats_api_reference
final class JetStreamServer: Sendable {
    let connection: NATSConnection
    private let brokenSince = Mutex<(instant: ContinuousClock.Instant, moment: Timestamp)?>(nil)
    private let connectedSince = Mutex(ContinuousClock.now)
    /// How long a change is tried again while the server is away: a restart goes unnoticed.
    private static let patience = Duration.seconds(5)

    init(_ connection: NATSConnection) {
        self.connection = connection
        connection.onChange { [weak self] isConnected in
            self?.brokenSince.withLock { since in
                if isConnected { since = nil } else if since == nil { since = (.now, .now()) }
            }
            if isConnected { self?.connectedSince.withLock { $0 = .now } }
        }
    }

    /// Most bytes of one message.
    var maxPayload: Int { connection.maxPayload }
    /// Bytes that our headers of any message need at most, beside what a call brings.
    static let headerRoom = 512

    /// Refuses what would not fit into a message.
    ///
    /// - Throws: `bodyTooLarge`.
    func checkRoom(for payload: ByteBuffer) throws(PlatformFault) {
        guard payload.readableBytes + Self.headerRoom <= maxPayload else { throw fault(.tooLarge) }
    }

    /// How long this process has been connected without a break.
    var connectedFor: Duration { ContinuousClock.now - connectedSince.withLock { $0 } }

    // MARK: Publishing

    /// A message for a stream.
    struct Message: Sendable {
        var subject: String
        /// Makes a repetition of the same message harmless.
        var id: String
        /// The sequence of the last message with this subject, 0 for none; nil does not matter.
        var expected: UInt64?
        /// Names and values in turn.
        var headers: [String] = []
        var payload = ByteBuffer()
    }

    /// What became of a published message.
    enum Outcome: Sendable, Equatable {
        /// The stream keeps it.
        case kept(UInt64)
        /// The stream keeps it already, by its id.
        case keptBefore(UInt64)
        /// Another one was faster: the last message of the subject is not the expected one.
        case overtaken
    }

    /// Publishes a message and waits until the stream keeps it; tries again while the server is away for a moment.
    ///
    /// - Throws: `storageUnavailable` when it cannot be kept, `bodyTooLarge` beyond the server's `max_payload`.
    func publish(_ message: Message) async throws(PlatformFault) -> Outcome {
        var headers = message.headers + ["Nats-Msg-Id", message.id]
        if let expected = message.expected {
            headers += ["Nats-Expected-Last-Subject-Sequence", String(expected)]
        }
        let answer = try await patiently { [connection] () async throws(NATSFailure) in
            try await connection.request(message.subject, headers: headers, message.payload, within: .seconds(2))
        }
        return try PublishAnswer(answer.payload).outcome()
    }

    /// Repeats what fails for want of a server, within limits.
    private func patiently(
        _ work: () async throws(NATSFailure) -> NATSMessage
    ) async throws(PlatformFault) -> NATSMessage {
        let begun = ContinuousClock.now
        while true {
            do throws(NATSFailure) { return try await work() } catch {
                let since = min(begun, brokenSince.withLock { $0?.instant } ?? begun)
                guard error.maySucceedLater, ContinuousClock.now - since < Self.patience else {
                    throw fault(error)
                }
                // Cancelled: no more attempts.
                guard (try? await Task.sleep(for: .milliseconds(50))) != nil else { throw fault(error) }
            }
        }
    }

    private func fault(_ failure: NATSFailure) -> PlatformFault {
        switch failure {
        case .tooLarge:
            PlatformFault(
                .bodyTooLarge,
                "The call is longer than the \(maxPayload) bytes that the NATS server takes (max_payload).",
                hint: "Send less, or raise max_payload on the server."
            )
        case .disconnected, .timedOut, .nobodyListens, .other:
            PlatformFault(
                .storageUnavailable,
                "The NATS server that keeps asynchronous calls does not answer."
                    + (brokenSince.withLock { $0?.moment }.map { " It is away since \($0)." } ?? ""),
                hint: "What it has kept is carried out when it is back; try again in a moment.",
                retryAfterSeconds: 5,
                cause: NoAnswer(failure: failure, why: connection.lastError)
            )
        }
    }

    private struct NoAnswer: Error {
        let failure: NATSFailure
        let why: String?
    }

    // MARK: The API

    /// A refusal of the API.
    struct Refusal: Codable, Sendable {
        var code: Int
        var errCode: Int?
        var description: String?
    }

    private struct Answer<Body: Decodable>: Decodable {
        let error: Refusal?
        let body: Body?

        private enum Key: String, CodingKey { case error }

        init(from decoder: any Decoder) throws {
            error = try decoder.container(keyedBy: Key.self).decodeIfPresent(Refusal.self, forKey: .error)
            body = error == nil ? try Body(from: decoder) : nil
        }
    }

    /// Asks the API; a refusal with status 404 is nil.
    ///
    /// - Throws: `storageUnavailable`.
    func ask<Request: Encodable & Sendable, Body: Decodable>(
        _ path: String,
        _ request: Request,
        for type: Body.Type = Body.self
    ) async throws(PlatformFault) -> Body? {
        let subject = "$JS.API.\(path)"
        // The API's words are those of our properties, in snake case.
        let (encoder, decoder) = (JSONEncoder(), JSONDecoder())
        encoder.keyEncodingStrategy = .convertToSnakeCase
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        do {
            let question = ByteBuffer(data: try encoder.encode(request))
            let reply = try await patiently { [connection] () async throws(NATSFailure) in
                try await connection.request(subject, question, within: .seconds(3))
            }
            let answer = try decoder.decode(Answer<Body>.self, from: reply.payload)
            guard let refusal = answer.error else { return answer.body }
            if refusal.errCode == Self.isSwitchedOff {
                throw PlatformFault(
                    .storageUnavailable,
                    "The NATS server has no JetStream, which keeps asynchronous calls.",
                    hint: "Start it with -js, or with jetstream in its configuration."
                )
            }
            if refusal.code == 404 { return nil }
            throw PlatformFault(
                .storageUnavailable,
                "The NATS server refuses \(path): \(refusal.description ?? "status \(refusal.code)")."
            )
        } catch let fault as PlatformFault { throw fault } catch {
            throw PlatformFault(.storageUnavailable, "The NATS server answers \(path) with nonsense.", cause: error)
        }
    }

    /// The API's word for a server, or an account, without JetStream.
    private static let isSwitchedOff = 10076

    struct Nothing: Codable, Sendable {}
}

extension NATSFailure {
    fileprivate var maySucceedLater: Bool {
        switch self {
        case .disconnected, .timedOut, .nobodyListens: true
        case .tooLarge, .other: false
        }
    }
}

/// The server's answer to a published message.
struct PublishAnswer {
    private let payload: ByteBuffer

    init(_ payload: ByteBuffer) { self.payload = payload }

    /// - Throws: `storageUnavailable` when the message is not kept.
    func outcome() throws(PlatformFault) -> JetStreamServer.Outcome {
        // One of a few shapes, read without a general parser: it is read several times per call.
        if place(behind: "\"error\"") == nil, let sequence = number(behind: "\"seq\":") {
            return place(behind: "\"duplicate\"") == nil ? .kept(sequence) : .keptBefore(sequence)
        }
        if number(behind: "\"err_code\":") == 10071 { return .overtaken }
        throw PlatformFault(
            .storageUnavailable,
            "The NATS server does not keep the call.",
            hint: "Look at its log, and at the space and the limits of its streams.",
            cause: BrokenAnswer(text: String(buffer: payload))
        )
    }

    /// The place behind a word, counted from the beginning; nil where it is missing.
    private func place(behind word: StaticString) -> Int? {
        payload.withUnsafeReadableBytes { bytes in
            let length = word.utf8CodeUnitCount
            guard bytes.count >= length, let start = bytes.baseAddress else { return nil }
            for place in 0...(bytes.count - length) where memcmp(start + place, word.utf8Start, length) == 0 {
                return place + length
            }
            return nil
        }
    }

    private func number(behind word: StaticString) -> UInt64? {
        guard let place = place(behind: word) else { return nil }
        let digits = payload.readableBytesView.dropFirst(place).drop { $0 == UInt8(ascii: " ") }
            .prefix { UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }
        return digits.isEmpty ? nil : digits.reduce(0) { $0 &* 10 &+ UInt64($1 - UInt8(ascii: "0")) }
    }

    private struct BrokenAnswer: Error { let text: String }
}
