// SPDX-License-Identifier: Apache-2.0

import AsyncHTTPClient
import Foundation
import FunctionModel
import NIOHTTP1

extension DockerEngine {
    /// Whether it answers; throws where it does not.
    public func ping() async throws(EngineFault) {
        try await ask(Question(path: "/_ping", timeout: .seconds(5)))
    }

    /// What it tells of its machine.
    public func info() async throws(EngineFault) -> EngineInfo { try await read("/info") }

    /// Makes a container, which is not started yet.
    ///
    /// - Throws: `refused` with 409 where the name is taken, with 404 where there is no such image.
    public func createContainer(
        name: String,
        _ config: ContainerConfig,
        platform: String? = nil
    ) async throws(EngineFault) -> ContainerCreated {
        let body: Data
        do { body = try JSONEncoder().encode(config) } catch { throw .malformed("\(error)") }
        var query = [(name: "name", value: name)]
        if let platform { query.append(("platform", platform)) }
        let question = Question(
            method: .POST,
            path: "/containers/create",
            query: query,
            body: body,
            headers: [("content-type", "application/json")]
        )
        return try Self.decoded(try await ask(question))
    }

    /// Starts it; nothing where it runs.
    public func start(_ container: String) async throws(EngineFault) {
        try await ask(Question(method: .POST, path: "/containers/\(container)/start"))
    }

    /// Ends it by SIGTERM, after the grace by SIGKILL; returns when it has ended, at once where it had.
    public func stop(_ container: String, grace: Duration) async throws(EngineFault) {
        let seconds = Int(clamping: grace.components.seconds) + (grace.components.attoseconds > 0 ? 1 : 0)
        let question = Question(
            method: .POST,
            path: "/containers/\(container)/stop",
            query: [("t", "\(seconds)")],
            timeout: grace + .seconds(30)
        )
        do throws(EngineFault) { try await ask(question) } catch .refused(status: 404, _) {}
    }

    /// Sends it a signal.
    public func kill(_ container: String, signal: String) async throws(EngineFault) {
        try await ask(Question(method: .POST, path: "/containers/\(container)/kill", query: [("signal", signal)]))
    }

    /// Removes it with what it has written; one that runs only by `force`, nothing where there is none.
    public func remove(_ container: String, force: Bool) async throws(EngineFault) {
        let question = Question(
            method: .DELETE,
            path: "/containers/\(container)",
            query: [("force", "\(force)"), ("v", "true")]
        )
        // 409: somebody else is removing it.
        do throws(EngineFault) { try await ask(question) } catch .refused(status: 404, _) {
        } catch .refused(status: 409, let message) where message.contains("already in progress") {}
    }

    /// What it tells of a container.
    ///
    /// - Throws: `refused` with 404 where there is none.
    public func inspectContainer(_ container: String) async throws(EngineFault) -> ContainerDetails {
        try await read("/containers/\(container)/json")
    }

    /// The containers that have all of these labels, `NAME=VALUE` each; those that run, or all.
    public func containers(labelled labels: [String], all: Bool) async throws(EngineFault) -> [ContainerSummary] {
        try await read("/containers/json", query: [("all", "\(all)"), Self.filters(labels)])
    }

    /// What it tells of a network.
    ///
    /// - Throws: `refused` with 404 where there is none.
    public func inspectNetwork(_ network: String) async throws(EngineFault) -> NetworkDetails {
        try await read("/networks/\(network)")
    }

    // MARK: Images

    /// What it tells of an image; nil where it has none of this name or id.
    public func inspectImage(_ image: String) async throws(EngineFault) -> ImageDetails? {
        do throws(EngineFault) { return try await read("/images/\(Self.path(image))/json") } catch .refused(
            status: 404,
            _
        ) {
            return nil
        }
    }

    /// An image's name as a part of a path: whatever stands in it asks for nothing else.
    private static func path(_ image: String) -> String {
        image.split(separator: "/", omittingEmptySubsequences: false).map { URLText.escaped(String($0)) }
            .joined(separator: "/")
    }

    /// Pulls an image, with a registry's login where it wants one.
    ///
    /// - Throws: `refused` with the registry's words.
    public func pull(_ image: String, credentials: RegistryCredentials?) async throws(EngineFault) {
        var question = Question(method: .POST, path: "/images/create", query: [("fromImage", image)])
        if !image.contains("@"), !Self.hasTag(image) { question.query.append(("tag", "latest")) }
        if let credentials { question.headers.append(("x-registry-auth", credentials.header)) }
        question.timeout = .seconds(300)
        for try await line in EngineLines<PullProgress>(try await open(question).body) {
            if let error = line.error { throw .refused(status: 500, message: error) }
        }
    }

    private static func hasTag(_ image: String) -> Bool {
        image.lastIndex(of: ":").map { !image[$0...].contains("/") } ?? false
    }
}

private struct PullProgress: Decodable, Sendable {
    let error: String?
}

/// A login to a registry.
///
/// Prints as `***`.
public struct RegistryCredentials: Sendable, CustomStringConvertible {
    private let username: String
    private let password: String
    private let serverAddress: String

    /// Keeps all three.
    public init(username: String, password: String, serverAddress: String) {
        self.username = username
        self.password = password
        self.serverAddress = serverAddress
    }

    /// Nothing of the secret.
    public var description: String { "***" }

    /// In the alphabet for URLs: what is written in the other one, the engine takes for no login at all.
    var header: String {
        let fields = ["username": username, "password": password, "serveraddress": serverAddress]
        let json = (try? JSONEncoder().encode(fields)) ?? Data()
        return json.base64EncodedString().replacingOccurrences(of: "+", with: "-")
            .replacingOccurrences(of: "/", with: "_")
    }
}
