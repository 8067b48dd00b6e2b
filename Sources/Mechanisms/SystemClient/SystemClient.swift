// SPDX-License-Identifier: Apache-2.0

public import AsyncHTTPClient
public import FaultModel
public import Foundation
import FunctionModel
public import NIOCore
import NIOFoundationCompat
import NIOHTTP1
import NIOSSL

/// A client of the OpenFaaS REST API, of Martlet's or of any other (contract §3, §25): for the command line, and for
/// providers that live elsewhere.
public struct SystemClient: Sendable {
    /// A user and a password for the system routes.
    ///
    /// Prints as `***`.
    public struct Login: Sendable, CustomStringConvertible {
        let user: String
        let password: String

        /// Keeps both.
        public init(user: String, password: String) {
            self.user = user
            self.password = password
        }

        /// Nothing of the secret.
        public var description: String { "***" }
    }

    /// An answer as it comes.
    public struct Answer: Sendable {
        /// The status.
        public let status: Int
        /// Header fields in their order.
        public let headers: [(name: String, value: String)]
        /// The body, read as fast as it is consumed.
        public let body: HTTPClientResponse.Body
    }

    /// Where the API is, without a slash at the end.
    public let baseURL: String
    /// The same as it was read; nil where it is no server's.
    private let target: ServerURL?
    private let login: Login?
    private let http: HTTPClient
    private let timeout: TimeAmount
    let clock: any Clock<Duration>

    /// Makes a client; the HTTP client stays the caller's, who shuts it down.
    ///
    /// `clock` measures how long a server is silent that gives signs of life.
    public init(
        baseURL: String,
        login: Login?,
        http: HTTPClient,
        timeout: Duration = .seconds(60),
        clock: any Clock<Duration> = ContinuousClock()
    ) {
        self.baseURL = baseURL.hasSuffix("/") ? String(baseURL.dropLast()) : baseURL
        target = ServerURL(self.baseURL)
        self.login = login
        self.http = http
        self.clock = clock
        self.timeout = .nanoseconds(timeout.components.seconds * 1_000_000_000)
    }

    /// An HTTP client that follows no redirects; whoever makes it shuts it down.
    ///
    /// `readTimeout` is the longest pause within an answer; nil where answers are streams that may pause.
    /// `ownCertificate` is the file (PEM) of the chain that a server of this machine shows, which is asked by its
    /// address and not by the certificate's name: what leads to it, or to what the machine trusts, is taken.
    public static func makeHTTPClient(
        verifiesCertificates: Bool = true,
        ownCertificate: String? = nil,
        readTimeout: Duration? = nil
    ) -> HTTPClient {
        var configuration = HTTPClient.Configuration()
        configuration.timeout.read = readTimeout.map { TimeAmount($0) }
        configuration.redirectConfiguration = .disallow
        // Where nobody listens now, nobody listens a moment later; who wants to wait asks again.
        configuration.connectionPool.retryConnectionEstablishment = false
        // Before servers give an idle connection up (30 s and more): else a request may meet one that is just closed.
        configuration.connectionPool.idleTimeout = .seconds(15)
        if !verifiesCertificates || ownCertificate != nil {
            var tls = TLSConfiguration.makeClientConfiguration()
            tls.certificateVerification = verifiesCertificates ? .noHostnameVerification : .none
            tls.additionalTrustRoots = ownCertificate.map { [.file($0)] } ?? []
            configuration.tlsConfiguration = tls
        }
        return HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    }

    // MARK: Requests

    /// Sends a request and returns its answer whatever its status.
    ///
    /// - Throws: `badSettings` where the API's address is none, `providerUnreachable` when there is no answer.
    public func send(
        _ method: String,
        _ path: String,
        headers: [(name: String, value: String)] = [],
        body: HTTPClientRequest.Body? = nil,
        withLogin: Bool = true,
        timeout: TimeAmount? = nil
    ) async throws(PlatformFault) -> Answer {
        var request = HTTPClientRequest(url: try url(path))
        request.method = HTTPMethod(rawValue: method)
        for (name, value) in headers { request.headers.add(name: name, value: value) }
        if withLogin, let login, !request.headers.contains(name: "authorization") {
            let token = Data("\(login.user):\(login.password)".utf8).base64EncodedString()
            request.headers.add(name: "authorization", value: "Basic \(token)")
        }
        request.body = body
        do {
            let response = try await http.execute(request, timeout: timeout ?? self.timeout)
            return Answer(
                status: Int(response.status.code),
                headers: response.headers.map { ($0.name, $0.value) },
                body: response.body
            )
        } catch let fault as PlatformFault {
            // What the body ended with.
            throw fault
        } catch {
            throw unreachable(error)
        }
    }

    /// Where a request goes; the path begins with a slash, so that it cannot become part of the port.
    private func url(_ path: String) throws(PlatformFault) -> String {
        guard let target, target.query == nil, path.hasPrefix("/") else {
            throw PlatformFault(
                .badSettings,
                "\(NameRule.printable(baseURL)) is not an address of a gateway.",
                hint: "Write it as http://HOST:PORT, with a port from 1 to 65535."
            )
        }
        return target.base + (target.path == "/" ? "" : target.path) + path
    }

    private func unreachable(_ error: any Error) -> PlatformFault {
        if Self.isAboutCertificate(error) {
            return PlatformFault(
                .providerUnreachable,
                "The certificate of \(baseURL) cannot be verified.",
                hint: "Let this machine trust the authority that made it, and ask by the name that it is for.",
                cause: error
            )
        }
        return PlatformFault(
            .providerUnreachable,
            "There is no answer from \(baseURL).",
            hint: "Is it running? Start it by martlet up, or name another by --gateway.",
            cause: error
        )
    }

    private static func isAboutCertificate(_ error: any Error) -> Bool {
        if error is NIOSSLExtraError { return true }
        guard case .handshakeFailed(let why)? = error as? NIOSSLError else { return false }
        // Its reasons are told apart by their text alone.
        return "\(why)".contains("CERTIFICATE_VERIFY_FAILED")
    }

    /// Sends a JSON body, if any, and reads a JSON answer.
    func call<Value: Decodable & Sendable>(
        _ method: String,
        _ path: String,
        _ body: (any Encodable & Sendable)? = nil,
        returning type: Value.Type,
        upTo limit: Int = SystemClient.answerLimit
    ) async throws(PlatformFault) -> Value {
        let (bytes, _) = try await exchange(method, path, body, upTo: limit)
        do {
            return try JSONDecoder().decode(type, from: bytes)
        } catch {
            throw PlatformFault(
                .providerFailed,
                "The answer of \(baseURL)\(path.prefix { $0 != "?" }) cannot be understood.",
                cause: error
            )
        }
    }

    /// Sends a JSON body, if any, and wants a 2xx.
    func call(_ method: String, _ path: String, _ body: (any Encodable & Sendable)? = nil) async throws(PlatformFault) {
        _ = try await exchange(method, path, body)
    }

    /// Sends a JSON body, wants a 2xx, and returns a header field of the answer.
    func change(
        _ method: String,
        _ path: String,
        _ body: any Encodable & Sendable,
        telling field: String
    ) async throws(PlatformFault) -> String? {
        let (_, answer) = try await exchange(method, path, body)
        return answer.headers.first { $0.name.lowercased() == field.lowercased() }?.value
    }

    private func exchange(
        _ method: String,
        _ path: String,
        _ body: (any Encodable & Sendable)?,
        upTo limit: Int = SystemClient.answerLimit
    ) async throws(PlatformFault) -> (body: Data, answer: Answer) {
        var headers = [(name: "accept", value: "application/json")]
        var content: HTTPClientRequest.Body?
        if let body {
            headers.append((name: "content-type", value: "application/json"))
            do { content = .bytes(try JSONEncoder().encode(body)) } catch {
                throw PlatformFault(.internalError, "The request cannot be written as JSON.", cause: error)
            }
        }
        let answer = try await send(method, path, headers: headers, body: content)
        let bytes = try await collect(answer, upTo: limit)
        guard (200..<300).contains(answer.status) else { throw Self.fault(answer.status, bytes) }
        return (bytes, answer)
    }

    /// Most bytes of an answer that is read whole, unless somebody says otherwise.
    public static let answerLimit = 64 * 1_048_576

    /// Reads a body whole, up to a limit in bytes.
    public func collect(
        _ answer: Answer,
        upTo limit: Int = SystemClient.answerLimit
    ) async throws(PlatformFault) -> Data {
        do {
            return Data(buffer: try await answer.body.collect(upTo: limit))
        } catch {
            throw PlatformFault(.providerUnreachable, "The answer of \(baseURL) broke off.", cause: error)
        }
    }

    /// The fault that an answer tells of: Martlet's own JSON, or any other's text under its status.
    public static func fault(_ status: Int, _ body: Data) -> PlatformFault {
        if let told = try? JSONDecoder().decode(FaultBody.self, from: body) { return PlatformFault(told) }
        let text = String(decoding: body, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
        let code: FaultCode =
            switch status {
            case 400, 422: .invalidValue
            case 401: .unauthorized
            case 404: .notFound
            case 405, 501: .notSupported
            case 409: .alreadyExists
            default: .providerFailed
            }
        return PlatformFault(code, text.isEmpty ? "The answer was status \(status), without a word." : text)
    }
}
