// SPDX-License-Identifier: Apache-2.0

import CNATS
public import NIOCore

/// A message of a NATS server.
public struct NATSMessage: Sendable {
    /// Where it was sent to.
    public let subject: String
    /// Where an answer goes; nil for nowhere.
    public let reply: String?
    /// The status that a server gives instead of a message, as 503 where nobody listens; nil for a message.
    public let status: Int?
    /// The values of the headers that its subscription asked for, in that order.
    public let headers: [String?]
    /// The bytes.
    public let payload: ByteBuffer

    init(_ message: OpaquePointer, headers names: [String]) {
        subject = String(cString: martlet_nats_subject(message))
        reply = martlet_nats_reply(message).map { String(cString: $0) }
        status = martlet_nats_header(message, "Status").flatMap { Int(String(cString: $0).prefix(3)) }
        headers = names.map { martlet_nats_header(message, $0).map { String(cString: $0) } }
        let bytes = UnsafeRawBufferPointer(
            start: martlet_nats_payload(message),
            count: Int(martlet_nats_payload_size(message))
        )
        payload = ByteBuffer(bytes: bytes)
    }
}

/// Why a message did not get through.
public enum NATSFailure: Error, Sendable {
    /// There is no connection at the moment.
    case disconnected
    /// Nobody answered in time; the message may have arrived.
    case timedOut
    /// Nobody listens to the subject.
    case nobodyListens
    /// It is longer than the server takes.
    case tooLarge
    /// The library says so.
    case other(String)
}
