// SPDX-License-Identifier: Apache-2.0

public import FaultModel
public import NIOCore

/// Which one of a gateway's listeners: the name by which its socket is handed on.
public enum ListenerRole: String, Sendable, CaseIterable {
    /// The functions, and management where that has no listener of its own.
    case api
    /// Management.
    case management
    /// Metrics, health and readiness.
    case metrics
    /// The page for people.
    case page

    /// By which flag another port is chosen.
    var flag: String {
        switch self {
        case .api: "--port"
        case .management: "--management-port"
        case .metrics: "--metrics-port"
        case .page: "--ui-port"
        }
    }
}

/// One address that a gateway listens on, and what is found there.
public struct Listener: Sendable {
    /// What may be found on a listener.
    public enum Surface: Sendable {
        /// Calls of functions, synchronous and asynchronous.
        case functions
        /// What is behind the password: the REST API, calls that were accepted, and where the page is.
        case management
        /// What is measured.
        case metrics
        /// The page for people; an origin of its own, so nothing else is found where it is.
        case page
    }

    /// Which one it is; a gateway has at most one of each.
    public var role: ListenerRole
    /// The address to listen on.
    public var host: String
    /// The port to listen on; 0 takes a free one.
    public var port: Int
    /// What is found there.
    public var surfaces: Set<Surface>
    /// Puts what decodes bytes before they are HTTP, TLS say, into each connection.
    public var prepare: (@Sendable (any Channel) throws -> Void)?

    /// Describes it.
    public init(
        _ role: ListenerRole,
        host: String,
        port: Int,
        _ surfaces: Set<Surface>,
        prepare: (@Sendable (any Channel) throws -> Void)? = nil
    ) {
        self.role = role
        self.host = host
        self.port = port
        self.surfaces = surfaces
        self.prepare = prepare
    }

    /// Whether nothing but the program itself can be asked about there, or looked at.
    var isForQuestions: Bool { surfaces.isDisjoint(with: [.functions, .management]) }
}

extension [Listener] {
    /// Makes sure that no two want the same port, of which 0 is none.
    ///
    /// - Throws: `badSettings` naming both.
    public func checkPorts() throws(PlatformFault) {
        for (index, listener) in enumerated() where listener.port != 0 {
            let twin = prefix(index).first { $0.port == listener.port && $0.meets(listener) }
            guard let twin else { continue }
            throw PlatformFault(
                .badSettings,
                "\(twin.role.flag) and \(listener.role.flag) are both \(listener.port).",
                hint: "Choose another port by one of them; 0 takes a free one."
            )
        }
    }
}

extension Listener {
    /// Whether its host is, or may be, the other one's.
    fileprivate func meets(_ other: Listener) -> Bool {
        host == other.host || [host, other.host].contains(where: HostName.isAnywhere)
    }
}
