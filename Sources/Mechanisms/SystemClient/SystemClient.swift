// SPDX-License-Identifier: Apache-2.0

public import AsyncHTTPClient
public import FaultModel
public import Foundation
public import FunctionModel
public import NIOCore
import NIOFoundationCompat
import NIOHTTP1
import NIOPosix
import NIOSSL
import TLSClient

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

        /// As `Authorization` says it (RFC 7617).
        var authorization: String { "Basic \(Data("\(user):\(password)".utf8).base64EncodedString())" }
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

    /// Where the API is, without a slash at the end, and without user and password.
    public let baseURL: String
    /// The same as it was read; nil where it is no server's.
    private let target: ServerURL?
    /// The same where it is a socket in the file system.
    private let socket: UnixURL?
    /// What it is asked by where that is not the URL's own host.
    private let serverName: String?
    private let login: Login?
    /// Whether the login is the URL's own.
    private let hasOwnLogin: Bool
    private let tls: ClientTLS?
    private let http: HTTPClient
    private let timeout: TimeAmount
    /// Whether it is a provider that is asked, by a program that asks on behalf of others.
    private var isProvider = false
    let clock: any Clock<Duration>

    /// Makes a client; the HTTP client stays the caller's, who shuts it down.
    ///
    /// The URL is `http://HOST:PORT`, `https://HOST:PORT` or `unix:///PATH`. A user and a password in it go before `login`.
    /// `serverName` is what the server is asked by in place of the
    /// URL's host; the HTTP client has to know the way there (`makeHTTPClient(_:of:)`).
    /// `tls` is what connections are made by in place of what the HTTP client was made with.
    /// `clock` measures how long a server is silent that gives signs of life.
    public init(
        baseURL: String,
        login: Login?,
        http: HTTPClient,
        timeout: Duration = .seconds(60),
        serverName: String? = nil,
        tls: ClientTLS? = nil,
        clock: any Clock<Duration> = ContinuousClock()
    ) {
        let url = baseURL.hasSuffix("/") ? String(baseURL.dropLast()) : baseURL
        let target = ServerURL(url).flatMap { $0.hasMisplacedLogin ? nil : $0 }
        let own = target?.login
        let socket = UnixURL(url)
        self.baseURL =
            target.map { own == nil ? url : $0.base + ($0.target == "/" ? "" : $0.target) }
            ?? (socket == nil ? ServerURL.shown(url) : url)
        self.target = target
        self.socket = socket
        self.serverName = serverName
        self.tls = tls
        hasOwnLogin = own != nil
        self.login = own.map { Login(user: $0.user, password: $0.password) } ?? login
        self.http = http
        self.clock = clock
        self.timeout = .nanoseconds(timeout.components.seconds * 1_000_000_000)
    }

    /// The same for a program behind which others ask: what the server has against the program itself is the server's and
    /// the program's affair, and not of those others.
    ///
    /// Where credentials are refused, calls throw `providerFailed` in place of `unauthorized` and `forbidden`.
    public var asProvider: SystemClient {
        var client = self
        client.isProvider = true
        return client
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
        var configuration = Self.configuration(readTimeout: readTimeout)
        if !verifiesCertificates || ownCertificate != nil {
            var tls = TLSConfiguration.makeClientConfiguration()
            tls.certificateVerification = verifiesCertificates ? .noHostnameVerification : .none
            tls.additionalTrustRoots = ownCertificate.map { [.file($0)] } ?? []
            configuration.tlsConfiguration = tls
        }
        return HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    }

    /// An HTTP client for a server elsewhere that is reached by TLS; whoever makes it shuts it down.
    ///
    /// - Throws: `badSettings` for certificates and keys that cannot be used.
    public static func makeHTTPClient(_ tls: UpstreamTLS, of baseURL: String) throws(PlatformFault) -> HTTPClient {
        var configuration = Self.configuration()
        configuration.tlsConfiguration = try .client(tls)
        if let name = tls.serverName, let server = ServerURL(baseURL) {
            configuration.dnsOverride = [name.lowercased(): server.host]
        }
        return HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    }

    private static func configuration(readTimeout: Duration? = nil) -> HTTPClient.Configuration {
        var configuration = HTTPClient.Configuration()
        configuration.timeout.read = readTimeout.map { TimeAmount($0) }
        configuration.redirectConfiguration = .disallow
        // Where nobody listens now, nobody listens a moment later; who wants to wait asks again.
        configuration.connectionPool.retryConnectionEstablishment = false
        // Before servers give an idle connection up (30 s and more): else a request may meet one that is just closed.
        configuration.connectionPool.idleTimeout = .seconds(15)
        return configuration
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
        request.tlsConfiguration = tls?.configuration
        for (name, value) in headers { request.headers.add(name: name, value: value) }
        if socket != nil, !request.headers.contains(name: "host") {
            request.headers.add(name: "host", value: "localhost")
        }
        if withLogin, let login, !request.headers.contains(name: "authorization") {
            request.headers.add(name: "authorization", value: login.authorization)
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
            throw await unreachable(error)
        }
    }

    /// What calls of functions have to bring to get past a server's door.
    public enum CallLogin: Sendable, Equatable {
        /// Nothing.
        case none
        /// What `Authorization` has to say.
        case authorization(String)
        /// The login, which is not told to whoever may tell it to functions.
        case withheld
    }

    /// What calls of functions have to bring.
    ///
    /// Asked by an address that is no function's: none hears of the login. A server that is not known to keep a login from
    /// its functions is told none but that of its own URL, whose author has meant it for that server.
    ///
    /// - Throws: as `send`; `providerUnreachable` also for an answer that says nothing of logins, as of a server that is
    ///   busy or away.
    public func loginOfCalls(isKept: Bool) async throws(PlatformFault) -> CallLogin {
        guard let login else { return .none }
        let answer = try await send("GET", "/function/", withLogin: false)
        // What it says to that is of no interest; a connection whose answer was read is kept.
        _ = try? await collect(answer, upTo: 65_536)
        try Self.checkTellsOfLogins(answer.status, of: baseURL)
        guard answer.status == 401 else { return .none }
        return isKept || hasOwnLogin ? .authorization(login.authorization) : .withheld
    }

    /// 501 says that there is nothing to ask for, with a login or without.
    private static func checkTellsOfLogins(_ status: Int, of server: String) throws(PlatformFault) {
        guard status == 429 || status >= 500 && status != 501 else { return }
        throw PlatformFault(
            .providerUnreachable,
            "\(server) does not say whether calls need a login: it answered with status \(status).",
            hint: "It is asked again; look whether something before it is busy or away."
        )
    }

    /// Host and port that the server is asked by: what `Host` says.
    public var authority: String? {
        guard let target else { return nil }
        return serverName.map { "\($0.lowercased()):\(target.port)" } ?? target.authority
    }

    /// The address of a function as people use it.
    public func address(ofFunction name: String) -> String {
        guard let socket else { return "\(baseURL)/function/\(name)" }
        return "http://localhost/function/\(name) on \(socket.path)"
    }

    /// Where a request goes; the path begins with a slash, so that it cannot become part of the port.
    private func url(_ path: String) throws(PlatformFault) -> String {
        if let socket, path.hasPrefix("/") { return socket.httpBase + path }
        guard let target, let authority, target.query == nil, path.hasPrefix("/") else {
            throw PlatformFault(
                .badSettings,
                "\(NameRule.printable(baseURL)) is not an address of a gateway.",
                hint: "Write it as http://HOST:PORT, with a port from 1 to 65535, or as unix:///PATH."
            )
        }
        return "\(target.scheme)://\(authority)" + (target.path == "/" ? "" : target.path) + path
    }

    private func unreachable(_ error: any Error) async -> PlatformFault {
        if CertificateProblem.isMeant(by: error), let target {
            let reason = await reason(error, of: target)
            return PlatformFault(
                .providerUnreachable,
                "The certificate of \(baseURL) cannot be verified: \(reason)",
                hint: "Let this machine trust the authority that made it, and ask by the name that it is for.",
                cause: error
            )
        }
        return PlatformFault(
            .providerUnreachable,
            "There is no answer from \(baseURL).",
            hint: isProvider
                ? "Look whether the provider runs there, and at the network in between."
                : "Is it running? Start it by martlet up, or name another by --gateway.",
            cause: error
        )
    }

    private func reason(_ error: any Error, of target: ServerURL) async -> String {
        let isAddress = (try? SocketAddress(ipAddress: target.host, port: target.port)) != nil
        let found = CertificateProblem.describe(
            error,
            name: serverName ?? (isAddress ? nil : target.host),
            within: .seconds(5),
            on: MultiThreadedEventLoopGroup.singleton.any()
        ) { $0.connect(host: target.host, port: target.port) }
        // It never fails.
        return (try? await found.get()) ?? ""
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
        guard (200..<300).contains(answer.status) else { throw refusal(answer.status, bytes) }
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

    /// What an answer without what was asked for means to whoever asked.
    func refusal(_ status: Int, _ body: Data) -> PlatformFault {
        let fault = Self.fault(status, body)
        guard isProvider, status == 401 || status == 403 else { return fault }
        return PlatformFault(
            .providerFailed,
            "The provider at \(baseURL) refuses the credentials that it is asked with (status \(status)).",
            hint:
                "Give both sides the same basic-auth-user and basic-auth-password, in the folder of secret-mount-path or "
                + "in the data directory, or write the provider's user and password into its address.",
            cause: fault
        )
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
