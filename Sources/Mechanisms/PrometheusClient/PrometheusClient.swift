// SPDX-License-Identifier: Apache-2.0

public import AsyncHTTPClient
public import FaultModel
import Foundation
import FunctionModel
import NIOCore
import NIOFoundationCompat
import NIOHTTP1

/// Asks a Prometheus for the value of expressions at this moment (its HTTP API, `GET /api/v1/query`).
public struct PrometheusClient: Sendable {
    /// One number of an answer.
    public struct Sample: Sendable, Equatable {
        /// The labels of its series; none for a plain number.
        public var labels: [String: String]
        /// The number; may be infinite or not a number.
        public var value: Double

        /// Makes a sample.
        public init(labels: [String: String] = [:], value: Double) {
            self.labels = labels
            self.value = value
        }
    }

    /// Where it is, as `http://prometheus:9090`.
    public let baseURL: String
    /// Where questions go; nil where the address is none.
    private let target: String?
    private let http: HTTPClient
    private let timeout: Duration
    private static let answerLimit = 16 * 1_048_576

    /// Describes a Prometheus; the HTTP client is its own from now on.
    ///
    /// An answer that is not whole within `timeout` is none.
    public init(baseURL: String, http: HTTPClient, timeout: Duration = .seconds(5)) {
        self.baseURL = baseURL.hasSuffix("/") ? String(baseURL.dropLast()) : baseURL
        target = ServerURL("\(self.baseURL)/api/v1/query")?.text
        self.http = http
        self.timeout = timeout
    }

    /// Closes its connections; nothing can be asked any more.
    public func shutdown() async { try? await http.shutdown() }

    /// The samples of an expression now; none where no series matches.
    ///
    /// - Throws: `prometheusFailed` saying what it said, or that it did not answer; the caller goes on without.
    public func query(_ expression: String) async throws(PlatformFault) -> [Sample] {
        let (status, bytes) = try await ask(expression)
        let answer = try? JSONDecoder().decode(Answer.self, from: Data(bytes.readableBytesView))
        guard status == 200 else {
            throw PlatformFault(
                .prometheusFailed,
                "Prometheus refused an expression: \(answer?.error ?? "status \(status)").",
                hint: "Try it in Prometheus' own page: \(expression)"
            )
        }
        guard let data = answer?.data else {
            throw PlatformFault(
                .prometheusFailed,
                "An expression has no number at a moment, or what answers at \(baseURL) is not a Prometheus.",
                hint: "Use one whose answer is a number, or one number per series: \(expression)"
            )
        }
        return data.samples
    }

    private func ask(_ expression: String) async throws(PlatformFault) -> (status: UInt, body: ByteBuffer) {
        guard let target else {
            throw PlatformFault(
                .prometheusFailed,
                "\(baseURL) is not an address of a Prometheus.",
                hint: "Set faas_prometheus_host to a name, and faas_prometheus_port to a number from 1 to 65535."
            )
        }
        var request = HTTPClientRequest(url: target)
        request.method = .POST
        request.headers.add(name: "content-type", value: "application/x-www-form-urlencoded")
        request.body = .bytes(ByteBuffer(string: "query=\(URLText.escaped(expression))"))
        do {
            return try await whole(request)
        } catch {
            throw PlatformFault(
                .prometheusFailed,
                error is Late
                    ? "Prometheus did not answer at \(baseURL) within \(timeout)."
                    : "Prometheus did not answer at \(baseURL).",
                hint: "Look whether it runs, and at faas_prometheus_host and faas_prometheus_port.",
                cause: error
            )
        }
    }

    private struct Late: Error {}

    /// An answer with its body; the client's own limit is for the head alone.
    private func whole(_ request: HTTPClientRequest) async throws -> (status: UInt, body: ByteBuffer) {
        try await withThrowingTaskGroup(of: (UInt, ByteBuffer)?.self) { group in
            group.addTask {
                let answer = try await http.execute(request, deadline: .distantFuture)
                return (answer.status.code, try await answer.body.collect(upTo: Self.answerLimit))
            }
            group.addTask {
                try await Task.sleep(for: timeout)
                return nil
            }
            defer { group.cancelAll() }
            guard let answer = try await group.next() ?? nil else { throw Late() }
            return answer
        }
    }

    private struct Answer: Decodable {
        var data: Result?
        var error: String?
    }

    /// A number, or one per series; other kinds have no value at a moment.
    private struct Result: Decodable {
        var samples: [Sample]

        private enum CodingKeys: String, CodingKey {
            case resultType, result
        }

        private struct Series: Decodable {
            var metric: [String: String]
            var value: Value
        }

        /// `[moment, "number"]`.
        private struct Value: Decodable {
            var number: Double

            init(from decoder: any Decoder) throws {
                var list = try decoder.unkeyedContainer()
                _ = try list.decode(Double.self)
                let text = try list.decode(String.self)
                guard let number = Double(text.replacingOccurrences(of: "Inf", with: "inf")) else {
                    throw DecodingError.dataCorruptedError(in: list, debugDescription: "\(text) is not a number")
                }
                self.number = number
            }
        }

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            switch try container.decode(String.self, forKey: .resultType) {
            case "vector":
                samples = try container.decode([Series].self, forKey: .result).map {
                    Sample(labels: $0.metric, value: $0.value.number)
                }
            default:
                samples = [Sample(value: try container.decode(Value.self, forKey: .result).number)]
            }
        }
    }
}
