// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionModel
import NIOCore
import NIOFoundationCompat
import QueueContract

/// A call as a message: OpenFaaS' form (contract §7.2), and beside it what that form cannot say.
struct QueueRequest: Codable, Sendable {
    /// What is ours alone.
    struct Own: Codable, Sendable {
        var id: String
        var callID: String
        /// The header lines as they came.
        var fields: Data
        var clientAddress: String
        var hasQuery: Bool
        var callbackURL: String?
        var acceptedAt: Int64
        var due: Int64
        var startsAt: Int64?
        var startsAfter: Int64?
        var key: String?
    }

    /// The header of a message that is not to be looked at before its time, in nanoseconds since 1970.
    static let dueHeader = "Martlet-Due"

    /// The header of a message that sends a call again: the sequence of the entry of the log by which it was over.
    static let resendsHeader = "Martlet-Resends"

    /// A URL as Go writes it.
    struct GoURL: Codable, Sendable {
        var scheme = ""
        var host = ""
        var path = ""
        var rawQuery = ""

        private enum CodingKeys: String, CodingKey {
            case scheme = "Scheme"
            case host = "Host"
            case path = "Path"
            case rawQuery = "RawQuery"
        }

        init(_ text: String) {
            guard let url = URLComponents(string: text) else { return }
            scheme = url.scheme ?? ""
            host = (url.host ?? "") + (url.port.map { ":\($0)" } ?? "")
            path = url.path
            rawQuery = url.percentEncodedQuery ?? ""
        }

        var text: String { "\(scheme)://\(host)\(path)" + (rawQuery.isEmpty ? "" : "?\(rawQuery)") }
    }

    var header: [String: [String]]?
    var host: String?
    var body: Data?
    var method: String
    var path: String?
    var queryString: String?
    var function: String
    var queueName: String?
    var callbackURL: GoURL?
    var own: Own?

    private enum CodingKeys: String, CodingKey {
        case header = "Header"
        case host = "Host"
        case body = "Body"
        case method = "Method"
        case path = "Path"
        case queryString = "QueryString"
        case function = "Function"
        case queueName = "QueueName"
        case callbackURL = "CallbackUrl"
        case own = "Martlet"
    }

    init(_ call: NewCall, id: String, queue: String) {
        let due =
            switch call.start {
            case .now: call.acceptedAt
            case .after(let wait): Timestamp.now().later(by: wait)
            case .at(let moment): moment
            }
        var lines: [String: [String]] = [:]
        for (name, value) in FieldLines.read(call.fields) {
            if name.lowercased() == "host" {
                host = value
            } else {
                lines[Self.canonical(name), default: []].append(value)
            }
        }
        lines["X-Call-Id"] = [call.callID]
        header = lines
        body = call.body.readableBytes == 0 ? nil : Data(buffer: call.body)
        method = call.method
        path = call.path.isEmpty ? nil : call.path
        queryString = call.query?.isEmpty == false ? call.query : nil
        function = call.function.description
        queueName = queue
        callbackURL = call.callbackURL.map { GoURL($0) }
        own = Own(
            id: id,
            callID: call.callID,
            fields: Data(buffer: call.fields),
            clientAddress: call.clientAddress,
            hasQuery: call.query != nil,
            callbackURL: call.callbackURL,
            acceptedAt: call.acceptedAt.nanosecondsSinceEpoch,
            due: due.nanosecondsSinceEpoch,
            startsAt: { if case .at(let moment) = call.start { moment.nanosecondsSinceEpoch } else { nil } }(),
            startsAfter: { if case .after(let wait) = call.start { wait.nanoseconds } else { nil } }(),
            key: call.idempotencyKey
        )
    }

    /// A field's name as Go writes it: `X-Call-Id`.
    private static func canonical(_ name: String) -> String {
        name.split(separator: "-", omittingEmptySubsequences: false)
            .map { $0.prefix(1).uppercased() + $0.dropFirst().lowercased() }
            .joined(separator: "-")
    }

    /// The call's id; one that names none has its place in the queue for it.
    func id(at sequence: UInt64, in queue: String) -> String { own?.id ?? "\(queue)-\(sequence)" }

    /// The call; `fallback` is the id of a message that is not ours and names none.
    func call(_ function: FunctionID, fallback: String) -> (id: String, call: NewCall, due: Timestamp) {
        let callID = own?.callID ?? header?["X-Call-Id"]?.first ?? fallback
        let acceptedAt = own.map { Timestamp(nanosecondsSinceEpoch: $0.acceptedAt) } ?? .now()
        let call = NewCall(
            function: function,
            method: method,
            path: path ?? "",
            query: queryString ?? (own?.hasQuery == true ? "" : nil),
            fields: own.map { ByteBuffer(data: $0.fields) } ?? foreignFields,
            body: body.map { ByteBuffer(data: $0) } ?? ByteBuffer(),
            clientAddress: own?.clientAddress ?? "",
            callID: callID,
            idempotencyKey: own?.key,
            callbackURL: own == nil ? foreignCallback : own?.callbackURL,
            start: start,
            acceptedAt: acceptedAt
        )
        let due = own.map { Timestamp(nanosecondsSinceEpoch: $0.due) } ?? acceptedAt
        return (own?.id ?? fallback, call, due)
    }

    private var start: NewCall.Start {
        if let moment = own?.startsAt { return .at(Timestamp(nanosecondsSinceEpoch: moment)) }
        return own?.startsAfter.map { .after(.nanoseconds($0)) } ?? .now
    }

    private var foreignCallback: String? {
        guard let text = callbackURL?.text, function.contains(".") else { return callbackURL?.text }
        return CallbackURL(text)?.text(calledAs: function) ?? text
    }

    private var foreignFields: ByteBuffer {
        var fields: [(name: String, value: String)] = host.map { [("Host", $0)] } ?? []
        for (name, values) in (header ?? [:]).sorted(by: { $0.key < $1.key }) where name != "X-Call-Id" {
            fields += values.map { (name, $0) }
        }
        return FieldLines.write(fields)
    }

    var payload: ByteBuffer { (try? JSONEncoder().encode(self)).map { ByteBuffer(data: $0) } ?? ByteBuffer() }

    init?(_ payload: ByteBuffer) {
        guard let request = try? JSONDecoder().decode(QueueRequest.self, from: payload) else { return nil }
        self = request
    }
}
