// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import AsyncHTTPClient
import FaultModel
import Foundation
import FunctionBuilder
import FunctionModel
import GatewayService
import SystemClient

/// The flags that all user verbs share.
struct ClientOptions: ParsableArguments {
    @Option(
        name: [.short, .long],
        help: "The gateway's URL, or unix:///PATH (the stack file's, $OPENFAAS_URL, http://127.0.0.1:8080)."
    )
    var gateway: String?

    @Option(name: [.short, .long], help: "The namespace of functions and secrets.")
    var namespace: String?

    @Flag(help: "Do not check the gateway's certificate.")
    var tlsNoVerify = false

    private static let defaultGateway = "http://127.0.0.1:8080"

    /// The gateway that is meant: flag, then stack file, then variable, then this machine, as faas-cli has it.
    func gatewayURL(stack: StackFile? = nil) -> String {
        let environment = ProcessInfo.processInfo.environment
        let variable = environment["OPENFAAS_URL"].flatMap { $0.isEmpty ? nil : $0 }
        // A file that names the default names nothing: that is what `new` writes into it.
        let file = stack?.gateway.flatMap { $0 == Self.defaultGateway ? nil : $0 }
        let url = gateway ?? file ?? variable ?? Self.localGateway(environment)
        if let socket = UnixURL(url) { return socket.text }
        let complete = url.contains("://") ? url : "http://\(url)"
        return complete.hasSuffix("/") ? String(complete.dropLast()) : complete
    }

    /// This machine's own Martlet: at the usual port, or where its settings have management.
    private static func localGateway(_ environment: [String: String]) -> String {
        // What is wrong with settings is told by whoever starts with them.
        guard let settings = try? PlatformSettings(flags: [:], environment: environment),
            let port = settings.listeners.managementPort, port != 0
        else { return defaultGateway }
        return settings.listeners.url(of: .management, port: port)
    }

    /// Runs a verb's work with a client that is closed afterwards.
    func withClient(stack: StackFile? = nil, _ work: (SystemClient) async throws -> Void) async throws {
        try await runCommand {
            let url = gatewayURL(stack: stack)
            let environment = ProcessInfo.processInfo.environment
            if let stored = OpenFaaSConfig(environment: environment).login(for: url) {
                return try await Self.withClient(url, login: stored, verifies: !tlsNoVerify, work)
            }
            let local = LocalLogin(environment: environment)
            switch local.answer(for: url) {
            case .login(let login): try await Self.withClient(url, login: login, verifies: !tlsNoVerify, work)
            case .none: try await Self.withClient(url, login: nil, verifies: !tlsNoVerify, work)
            case .withheld:
                do {
                    try await Self.withClient(url, login: nil, verifies: !tlsNoVerify, work)
                } catch let fault as PlatformFault where fault.code == .unauthorized {
                    throw local.explain(fault, from: url)
                }
            }
        }
    }

    /// `ownCertificate` is the file of the certificate that a Martlet of this machine, asked by its address, shows.
    static func withClient(
        _ url: String,
        login: SystemClient.Login?,
        verifies: Bool = true,
        ownCertificate: String? = nil,
        _ work: (SystemClient) async throws -> Void
    ) async throws {
        let http = SystemClient.makeHTTPClient(verifiesCertificates: verifies, ownCertificate: ownCertificate)
        do {
            try await work(SystemClient(baseURL: url, login: login, http: http))
        } catch {
            try? await http.shutdown()
            throw error
        }
        try await http.shutdown()
    }
}

/// How a verb prints what it found.
enum OutputFormat: String, ExpressibleByArgument, CaseIterable {
    case text
    case json
}

/// Prints values as JSON, for programs.
func printJSON(_ value: some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    print(String(decoding: try encoder.encode(value), as: UTF8.self))
}

/// Prints rows in columns as wide as they need to be.
func printTable(_ header: [String], _ rows: [[String]]) {
    let widths = header.indices.map { column in ([header] + rows).map { $0[column].count }.max() ?? 0 }
    for row in [header] + rows {
        let cells = row.enumerated().map { index, text in
            index == row.count - 1 ? text : text.padding(toLength: widths[index] + 2, withPad: " ", startingAt: 0)
        }
        print(cells.joined())
    }
}
