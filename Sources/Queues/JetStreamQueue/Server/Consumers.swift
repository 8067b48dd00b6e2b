// SPDX-License-Identifier: Apache-2.0

import FaultModel

/// How a stream is read.
struct ConsumerSettings: Encodable, Sendable {
    var name: String
    /// The same as the name for one that outlives its readers; nil for one that goes with them.
    var durableName: String?
    /// Where messages go by themselves; nil where they are asked for.
    var deliverSubject: String?
    var deliverPolicy = "all"
    var optStartSeq: UInt64?
    var filterSubject: String?
    var ackPolicy = "none"
    var ackWait: Int64?
    var maxDeliver = 1
    var maxAckPending: Int?
    var flowControl: Bool?
    var idleHeartbeat: Int64?
    var headersOnly: Bool?
    var memStorage: Bool?
    var numReplicas: Int?

    /// One that hands everything from a sequence on to a subject, without bodies, for as long as somebody listens there.
    static func reader(_ name: String, from start: UInt64, to subject: String) -> ConsumerSettings {
        ConsumerSettings(
            name: name,
            deliverSubject: subject,
            deliverPolicy: "by_start_sequence",
            optStartSeq: start,
            headersOnly: true,
            memStorage: true,
            numReplicas: 1
        )
    }
}

extension JetStreamServer {
    private struct Question: Encodable {
        var streamName: String
        var config: ConsumerSettings
    }

    /// A consumer as the server describes it.
    struct Consumer: Decodable, Sendable {
        /// How many messages it has to deliver.
        var numPending: Int
        /// When it was made: another one of the same name was made at another time.
        var created: String
    }

    /// Makes a consumer, or finds the one that is there.
    ///
    /// - Throws: `storageUnavailable`, also when the stream is gone.
    @discardableResult
    func makeConsumer(_ settings: ConsumerSettings, of stream: String) async throws(PlatformFault) -> Consumer {
        let path =
            settings.durableName == nil
            ? "CONSUMER.CREATE.\(stream).\(settings.name)" : "CONSUMER.DURABLE.CREATE.\(stream).\(settings.name)"
        guard let made = try await ask(path, Question(streamName: stream, config: settings), for: Consumer.self) else {
            throw PlatformFault(.storageUnavailable, "The stream \(stream) is gone from the NATS server.")
        }
        return made
    }
}
