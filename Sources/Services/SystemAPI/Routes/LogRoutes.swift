// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
import FunctionModel
import HTTPTypes
import Hummingbird
import NIOCore
import ProviderContract

/// `GET /system/logs` (contract §11).
struct LogRoutes: Sendable {
    let provider: any FunctionProvider
    let namespace: NamespaceChoice
    let end: EndlessAnswers

    func addRoutes(to routes: inout RouteList) {
        routes.add(.readLogs, lines)
    }

    @Sendable private func lines(_ request: Request, _ context: SystemContext) async throws -> Response {
        let query = try query(request)
        let logs: any LogFacet = try await provider.need(provider.logs, or: .logs)
        let lines = try await logs.logs(query)
        return query.follow ? followed(lines) : Self.whole(lines)
    }

    private static func whole(_ lines: AsyncThrowingStream<LogLine, any Error>) -> Response {
        Response(
            status: .ok,
            headers: [.contentType: "application/x-ndjson"],
            body: ResponseBody { writer in
                for try await line in lines { try await writer.write(try encoded(line)) }
                try await writer.finish(nil)
            }
        )
    }

    /// An empty line, which readers of JSON skip, says that there is merely nothing to say.
    private func followed(_ lines: AsyncThrowingStream<LogLine, any Error>) -> Response {
        var headers: HTTPFields = [.contentType: "application/x-ndjson"]
        let end = end
        headers[.heartbeat] = "\(SignsOfLife.interval.components.seconds)s"
        return Response(
            status: .ok,
            headers: headers,
            body: ResponseBody { writer in
                for try await piece in SignsOfLife.between(lines, until: end) {
                    switch piece {
                    case .element(let line): try await writer.write(try Self.encoded(line))
                    case .signOfLife: try await writer.write(ByteBuffer(string: "\n"))
                    }
                }
                try await writer.finish(nil)
            }
        )
    }

    private func query(_ request: Request) throws -> LogQuery {
        let parameters = request.uri.queryParameters
        func last(_ name: Substring) -> String? { parameters[values: name].last.map(String.init) }
        guard let name = last("name"), !name.isEmpty else {
            throw PlatformFault(.invalidValue, "Which function's log?", hint: "Add ?name=NAME to the query.")
        }
        let id = FunctionID(address: name, defaultNamespace: namespace.fallback)
        let isNamed = name.contains(".") && last("namespace")?.isEmpty != false
        let function =
            isNamed && id != nil
            ? FunctionID(name: id?.name ?? name, namespace: namespace.named(id?.namespace))
            : FunctionID(name: name, namespace: namespace.of(request))
        var query = LogQuery(function: function, instance: last("instance").flatMap { $0.isEmpty ? nil : $0 })
        query.follow = ["1", "t", "T", "true", "TRUE", "True"].contains(last("follow"))
        query.tail = try tail(last("tail"))
        query.since = try since(last("since"))
        // Without either, the last five minutes, as both of OpenFaaS' providers have it.
        if query.tail == nil, query.since == nil { query.since = Timestamp.now().earlier(by: .seconds(300)) }
        return query
    }

    private func tail(_ text: String?) throws -> Int? {
        guard let text, !text.isEmpty else { return nil }
        guard let number = Int(text), number >= -1 else {
            throw PlatformFault(
                .invalidValue,
                "tail is \"\(NameRule.printable(text))\", which is not a number of lines."
            )
        }
        return number > 0 ? number : nil
    }

    private func since(_ text: String?) throws -> Timestamp? {
        guard let text, !text.isEmpty else { return nil }
        // In a query an unencoded "+" of an offset arrives as a space.
        guard let moment = Timestamp(text) ?? Timestamp(text.replacing(" ", with: "+")) else {
            throw PlatformFault(
                .invalidValue,
                "since is \"\(NameRule.printable(text))\".",
                hint: "Write it as 2026-01-02T15:04:05Z."
            )
        }
        return moment
    }

    private struct WireLine: Encodable {
        let name: String
        let namespace: String
        let instance: String
        let timestamp: String
        let text: String
    }

    private static func encoded(_ line: LogLine) throws -> ByteBuffer {
        let wire = WireLine(
            name: line.name,
            namespace: line.namespace,
            instance: line.instance,
            timestamp: line.timestamp.formatted(fractionDigits: 9),
            text: line.text
        )
        let encoder = JSONEncoder()
        encoder.outputFormatting = .withoutEscapingSlashes
        var bytes = ByteBuffer(bytes: try encoder.encode(wire))
        bytes.writeStaticString("\n")
        return bytes
    }
}

extension HTTPField.Name {
    /// How often a followed log has an empty line.
    fileprivate static let heartbeat = HTTPField.Name("X-Martlet-Heartbeat") ?? .connection
}
