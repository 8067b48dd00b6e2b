// SPDX-License-Identifier: Apache-2.0

/// What the server says of a message that it delivers, in the subject on which it wants to hear of it.
///
/// `$JS.ACK.STREAM.CONSUMER.DELIVERED.SEQUENCE.PLACE.TIME.PENDING`; newer servers put a domain and an account behind
/// `ACK`, and a word at the end.
struct Delivery: Sendable {
    /// The subject itself; empty for a message that was fetched, not delivered.
    let subject: String
    /// The consumer that it is delivered to.
    let consumer: String
    /// How often the message was delivered, this time included.
    let delivered: Int
    /// The message's sequence in its stream.
    let sequence: UInt64
    /// The place of this delivery among all of the consumer.
    let place: UInt64
    /// Messages of the consumer that were not delivered yet.
    let pending: Int

    /// Whether somebody fetched the message: nobody waits for a word about it.
    var isFetched: Bool { subject.isEmpty }

    /// A message that somebody fetched by its sequence.
    init(fetched sequence: UInt64) {
        (subject, consumer, delivered, place, pending) = ("", "", 0, 0, 0)
        self.sequence = sequence
    }

    init?(_ subject: String?) {
        guard let subject, subject.hasPrefix("$JS.ACK.") else { return nil }
        let words = subject.split(separator: ".")
        let start = words.count >= 11 ? 4 : 2
        guard words.count >= start + 7, let delivered = OutsideNumber.count(words[start + 2]),
            let sequence = OutsideNumber.sequence(words[start + 3]),
            let place = OutsideNumber.sequence(words[start + 4]), let pending = OutsideNumber.count(words[start + 6])
        else { return nil }
        self.subject = subject
        consumer = String(words[start + 1])
        self.delivered = delivered
        self.sequence = sequence
        self.place = place
        self.pending = pending
    }
}
