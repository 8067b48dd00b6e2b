// SPDX-License-Identifier: Apache-2.0

import AsyncHTTPClient
import FaultModel
import Foundation
import FunctionModel
import NIOCore
import NIOFoundationCompat
import NIOHTTP1
import NIOPosix
import TLSClient

/// A Docker engine, asked by its own API.
///
/// The version that is spoken is agreed upon once, by `connect`: the newest that both know.
public final class DockerEngine: Sendable {
    /// What it is.
    public let version: EngineVersion
    private let base: String
    private let http: HTTPClient

    /// The oldest version of the API that has all that is needed, and the newest that is known.
    static let versions = (oldest: APIVersion(1, 41), newest: APIVersion(1, 51))
    /// Most bytes of an answer that is read whole.
    private static let answerLimit = 64 * 1_048_576

    private init(version: EngineVersion, base: String, http: HTTPClient) {
        self.version = version
        self.base = base
        self.http = http
    }

    /// Finds out which engine answers, and how it is spoken to.
    ///
    /// - Throws: `unreachable` where none answers within a time, `refused` for one that is too old or too new.
    public static func connect(
        _ endpoint: DockerEndpoint,
        within limit: Duration = .seconds(10)
    ) async throws(EngineFault) -> DockerEngine {
        let http = try client(endpoint)
        do throws(EngineFault) {
            let unknown = EngineVersion()
            let first = DockerEngine(version: unknown, base: endpoint.base, http: http)
            let version: EngineVersion = try await first.read("/version", timeout: limit)
            let spoken = try version.agreed()
            return DockerEngine(version: version, base: "\(endpoint.base)/v\(spoken)", http: http)
        } catch {
            try? await http.shutdown()
            throw error
        }
    }

    private static func client(_ endpoint: DockerEndpoint) throws(EngineFault) -> HTTPClient {
        var configuration = HTTPClient.Configuration()
        configuration.httpVersion = .http1Only
        // Each stream of events, logs or samples keeps one.
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 1 << 16
        configuration.timeout.connect = .seconds(5)
        if case .tcp(_, _, let tls?) = endpoint {
            do throws(PlatformFault) { configuration.tlsConfiguration = try .client(tls) } catch {
                throw .unreachable(error.message)
            }
        }
        return HTTPClient(eventLoopGroup: MultiThreadedEventLoopGroup.singleton, configuration: configuration)
    }

    /// Closes its connections; nothing can be asked any more.
    public func shutdown() async { try? await http.shutdown() }

    // MARK: Asking

    /// What a question is made of.
    struct Question: Sendable {
        var method = HTTPMethod.GET
        var path: String
        var query: [(name: String, value: String)] = []
        var body: Data?
        var headers: [(name: String, value: String)] = []
        var timeout = Duration.seconds(60)
    }

    /// Asks, and reads the answer whole, all of it within the question's time.
    @discardableResult
    func ask(_ question: Question) async throws(EngineFault) -> Data {
        try await Self.within(question.timeout) {
            let response = try await self.open(question)
            return Data(buffer: try await response.body.collect(upTo: Self.answerLimit))
        }
    }

    /// An engine that is frozen in the midst of an answer is one that does not answer.
    private static func within<Value: Sendable>(
        _ limit: Duration,
        _ work: @escaping @Sendable () async throws -> Value
    ) async throws(EngineFault) -> Value {
        do {
            return try await withThrowingTaskGroup(of: Value.self) { group in
                group.addTask { try await work() }
                group.addTask {
                    try await Task.sleep(for: limit)
                    throw EngineFault.unreachable("it has not answered within \(limit.components.seconds) s")
                }
                defer { group.cancelAll() }
                guard let value = try await group.next() else { throw EngineFault.malformed("nothing") }
                return value
            }
        } catch {
            throw error as? EngineFault ?? .unreachable("\(error)")
        }
    }

    /// Reads an answer in JSON.
    func read<Answer: Decodable>(
        _ path: String,
        query: [(name: String, value: String)] = [],
        timeout: Duration = .seconds(60)
    ) async throws(EngineFault) -> Answer {
        try Self.decoded(try await ask(Question(path: path, query: query, timeout: timeout)))
    }

    static func decoded<Answer: Decodable>(_ data: Data) throws(EngineFault) -> Answer {
        do { return try JSONDecoder().decode(Answer.self, from: data) } catch {
            throw .malformed("\(Answer.self)")
        }
    }

    /// Asks, and returns an answer that may be read; the time is for its head alone.
    func open(_ question: Question) async throws(EngineFault) -> HTTPClientResponse {
        var request = HTTPClientRequest(url: base + question.path + Self.text(question.query))
        request.method = question.method
        // A socket in the file system has no name, and the engine wants one.
        if base.hasPrefix("http+unix:") { request.headers.add(name: "host", value: "docker") }
        for (name, value) in question.headers { request.headers.add(name: name, value: value) }
        if let body = question.body { request.body = .bytes(ByteBuffer(data: body)) }
        let response: HTTPClientResponse
        do { response = try await http.execute(request, timeout: TimeAmount(question.timeout)) } catch {
            throw .unreachable("\(error)")
        }
        guard response.status.code < 400 else {
            let body = try await Self.within(.seconds(10)) { try await response.body.collect(upTo: 1_048_576) }
            throw .refused(status: Int(response.status.code), message: Self.message(body))
        }
        return response
    }

    private static func text(_ query: [(name: String, value: String)]) -> String {
        guard !query.isEmpty else { return "" }
        return "?" + query.map { "\($0.name)=\(URLText.escaped($0.value))" }.joined(separator: "&")
    }

    /// Most are JSON; of a version that is refused it is a text.
    private static func message(_ body: ByteBuffer) -> String {
        struct Refusal: Decodable { let message: String }
        if let refusal = try? JSONDecoder().decode(Refusal.self, from: Data(buffer: body)) { return refusal.message }
        return String(buffer: body).trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// What is asked for of those that have all of some labels.
    static func filters(_ labels: [String]) -> (name: String, value: String) {
        let data = try? JSONEncoder().encode(["label": labels])
        return ("filters", String(decoding: data ?? Data(), as: UTF8.self))
    }
}

/// A version of the API.
struct APIVersion: Comparable, CustomStringConvertible {
    let major: Int
    let minor: Int

    init(_ major: Int, _ minor: Int) { (self.major, self.minor) = (major, minor) }

    init?(_ text: String) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false).map { Int($0) }
        guard parts.count == 2, let major = parts[0], let minor = parts[1] else { return nil }
        self.init(major, minor)
    }

    static func < (left: APIVersion, right: APIVersion) -> Bool {
        (left.major, left.minor) < (right.major, right.minor)
    }

    var description: String { "\(major).\(minor)" }
}

/// What an engine says of itself.
public struct EngineVersion: Sendable, Decodable, Equatable {
    /// Its own version, as `20.10.24`.
    public var engine = ""
    /// The newest version of the API that it knows.
    public var api = ""
    /// The oldest.
    public var oldestAPI = ""
    /// Of its machine, as images name it: `amd64`.
    public var architecture = ""

    init() {}

    private enum CodingKeys: String, CodingKey {
        case engine = "Version"
        case api = "ApiVersion"
        case oldestAPI = "MinAPIVersion"
        case architecture = "Arch"
    }

    /// The version that both know.
    ///
    /// - Throws: `refused` where there is none.
    func agreed() throws(EngineFault) -> APIVersion {
        guard let theirs = APIVersion(api) else { throw .malformed("version") }
        let (oldest, newest) = DockerEngine.versions
        let spoken = min(theirs, newest)
        let needed = max(oldest, APIVersion(oldestAPI) ?? oldest)
        guard spoken >= needed else {
            throw .refused(
                status: 400,
                message:
                    "engine \(engine) speaks versions \(oldestAPI) to \(api) of the API, and \(oldest) to \(newest) are known here"
            )
        }
        return spoken
    }
}
