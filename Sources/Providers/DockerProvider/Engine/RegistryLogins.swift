// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionModel

/// Logins to registries, as `docker login` and `faas-cli registry-login` keep them: `config.json`.
struct RegistryLogins: Sendable, Equatable {
    /// One of them.
    struct Login: Sendable, Equatable {
        let user: String
        let password: String
        /// As the file names the registry.
        let server: String
    }

    private let logins: [String: Login]

    /// Reads a file's contents; what cannot be read of it counts as absent, as do logins that a helper program keeps.
    init(json: Data) {
        let file = try? JSONDecoder().decode(File.self, from: json)
        var logins: [String: Login] = [:]
        for (server, entry) in file?.auths ?? [:] {
            if let login = entry.login(server) { logins[Self.registry(ofServer: server)] = login }
        }
        self.logins = logins
    }

    /// Reads the file that the variables name, `DOCKER_CONFIG` or `HOME`; one that is missing has no login.
    ///
    /// Blocks.
    init(environment: [String: String]) {
        let folder =
            environment["DOCKER_CONFIG"].flatMap { $0.isEmpty ? nil : $0 } ?? "\(environment["HOME"] ?? "")/.docker"
        self.init(json: (try? Data(contentsOf: URL(fileURLWithPath: "\(folder)/config.json"))) ?? Data())
    }

    /// The login for the registry of an image; nil where there is none.
    func login(forImage image: String) -> Login? { logins[Self.registry(ofImage: image)] }

    /// Where an image's name says it is: what stands before the first slash, if it is a host's name.
    static func registry(ofImage image: String) -> String {
        guard let slash = image.firstIndex(of: "/") else { return dockerHub }
        let first = image[..<slash]
        let isHost = first.contains(".") || first.contains(":") || first == "localhost"
        return isHost ? registry(ofServer: String(first)) : dockerHub
    }

    private static let dockerHub = "docker.io"

    private static func registry(ofServer server: String) -> String {
        var host = Substring(server)
        for scheme in ["https://", "http://"] where host.hasPrefix(scheme) { host = host.dropFirst(scheme.count) }
        host = host.prefix { $0 != "/" }
        return ["index.docker.io", "registry-1.docker.io"].contains(host) ? dockerHub : String(host)
    }

    private struct File: Decodable {
        let auths: [String: Entry]?
    }

    private struct Entry: Decodable {
        let auth: String?
        let username: String?
        let password: String?

        func login(_ server: String) -> Login? {
            if let username, let password { return Login(user: username, password: password, server: server) }
            guard let data = auth.flatMap({ Data(base64Encoded: $0) }),
                let colon = data.firstIndex(of: UInt8(ascii: ":"))
            else { return nil }
            return Login(
                user: String(decoding: data[..<colon], as: UTF8.self),
                password: String(decoding: data[data.index(after: colon)...], as: UTF8.self),
                server: server
            )
        }
    }
}
