// SPDX-License-Identifier: Apache-2.0

public import FaultModel
import Foundation
public import FunctionModel

/// Where an engine's API is.
public enum DockerEndpoint: Sendable {
    /// A socket in the file system.
    case unix(path: String)
    /// A host and a port; TLS where there is a way to speak it.
    case tcp(host: String, port: Int, tls: UpstreamTLS?)

    /// Where an engine of this machine usually is.
    public static let usualSocket = "/var/run/docker.sock"

    /// Reads Docker's variables: `DOCKER_HOST`, `DOCKER_TLS_VERIFY` and `DOCKER_CERT_PATH`.
    ///
    /// Blocks where there are certificates. - Throws: `badSettings` saying what is wrong with them.
    public init(environment: [String: String]) throws(PlatformFault) {
        func value(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }
        guard let host = value("DOCKER_HOST") else {
            self = .unix(path: Self.usualSocket)
            return
        }
        if let path = UnixURL(host)?.path {
            self = .unix(path: path)
            return
        }
        let wantsTLS = value("DOCKER_TLS_VERIFY") != nil || host.hasPrefix("https://")
        let text = host.hasPrefix("tcp://") ? "http://\(host.dropFirst("tcp://".count))" : host
        let ports = ["http": wantsTLS ? 2376 : 2375, "https": 2376]
        guard let server = ServerURL(text, defaultPorts: ports) else {
            throw PlatformFault(
                .badSettings,
                "DOCKER_HOST is \"\(NameRule.printable(host))\", which is not an address of an engine.",
                hint: "Write it as unix:///var/run/docker.sock or tcp://HOST:PORT."
            )
        }
        let folder = value("DOCKER_CERT_PATH") ?? "\(environment["HOME"] ?? "")/.docker"
        self = .tcp(host: server.host, port: server.port, tls: wantsTLS ? try Self.tls(folder) : nil)
    }

    /// What lies in the folder under the names that Docker gives them.
    private static func tls(_ folder: String) throws(PlatformFault) -> UpstreamTLS {
        UpstreamTLS(
            roots: try text("\(folder)/ca.pem"),
            identity: UpstreamTLS.Identity(
                certificates: try text("\(folder)/cert.pem"),
                privateKey: try text("\(folder)/key.pem")
            )
        )
    }

    private static func text(_ file: String) throws(PlatformFault) -> String {
        do { return try String(contentsOfFile: file, encoding: .utf8) } catch {
            throw PlatformFault(
                .badSettings,
                "The file \(file) cannot be read.",
                hint: "DOCKER_CERT_PATH names the folder of ca.pem, cert.pem and key.pem.",
                cause: error
            )
        }
    }

    /// What requests' URLs begin with.
    var base: String {
        switch self {
        case .unix(let path): "http+unix://\(URLText.escaped(path))"
        case .tcp(let host, let port, let tls):
            "\(tls == nil ? "http" : "https")://\(host.contains(":") ? "[\(host)]" : host):\(port)"
        }
    }
}

extension DockerEndpoint: CustomStringConvertible {
    /// Its address.
    public var description: String {
        switch self {
        case .unix(let path): "unix://\(path)"
        case .tcp(let host, let port, _): "tcp://\(host):\(port)"
        }
    }
}
