// SPDX-License-Identifier: Apache-2.0

public import FaultModel
import FunctionModel
public import NIOCore

/// Which one of a gateway's listeners: the name by which its socket is handed on.
public enum ListenerRole: String, Sendable, CaseIterable {
    /// The functions, and management where that has no listener of its own.
    case api
    /// Management.
    case management
    /// Functions and management, on a socket in the file system.
    case socket
    /// Metrics, health and readiness.
    case metrics
    /// The page for people.
    case page

    /// By which flag another host is chosen.
    var hostFlag: String { self == .page ? "--ui-host" : "--host" }

    /// By which flag another address is chosen.
    var flag: String {
        switch self {
        case .api: "--port"
        case .management: "--management-port"
        case .socket: "--socket"
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

    /// Where it listens.
    public enum Address: Sendable, Hashable, CustomStringConvertible {
        /// A host's name or address, and a port; 0 takes a free one.
        case tcp(host: String, port: Int)
        /// A socket in the file system at an absolute path; its file has the rights of a mode.
        case unix(path: String, mode: UInt32)

        /// As people write it.
        public var description: String {
            switch self {
            case .tcp(let host, let port): "\(NameRule.printable(host)):\(port)"
            case .unix(let path, _): path
            }
        }

        /// The port, where there is one.
        var port: Int? {
            guard case .tcp(_, let port) = self else { return nil }
            return port
        }
    }

    /// Which one it is; a gateway has at most one of each.
    public var role: ListenerRole
    /// Where it listens.
    public var address: Address
    /// What is found there.
    public var surfaces: Set<Surface>
    /// Puts what decodes bytes before they are HTTP, TLS say, into each connection.
    public var prepare: (@Sendable (any Channel) throws -> Void)?

    /// Describes it.
    public init(
        _ role: ListenerRole,
        _ address: Address,
        _ surfaces: Set<Surface>,
        prepare: (@Sendable (any Channel) throws -> Void)? = nil
    ) {
        self.role = role
        self.address = address
        self.surfaces = surfaces
        self.prepare = prepare
    }

    /// Describes one on a port; 0 takes a free one.
    public init(
        _ role: ListenerRole,
        host: String,
        port: Int,
        _ surfaces: Set<Surface>,
        prepare: (@Sendable (any Channel) throws -> Void)? = nil
    ) {
        self.init(role, .tcp(host: host, port: port), surfaces, prepare: prepare)
    }

    /// Whether nothing but the program itself can be asked about there, or looked at.
    var isForQuestions: Bool { surfaces.isDisjoint(with: [.functions, .management]) }
}

extension [Listener] {
    /// Makes sure that no two want the same port, of which 0 is none.
    ///
    /// - Throws: `badSettings` naming both.
    public func checkPorts() throws(PlatformFault) {
        for (index, listener) in enumerated() {
            guard let port = listener.address.port, port != 0, let twin = prefix(index).first(where: listener.meets)
            else { continue }
            throw PlatformFault(
                .badSettings,
                "\(twin.role.flag) and \(listener.role.flag) are both \(port).",
                hint: "Choose another port by one of them; 0 takes a free one."
            )
        }
    }
}

extension Listener {
    /// Whether its port is the other one's, and its host is, or may be.
    fileprivate func meets(_ other: Listener) -> Bool {
        guard case (.tcp(let host, let port), .tcp(let otherHost, let otherPort)) = (address, other.address) else {
            return false
        }
        return port == otherPort && HostName.mayMeet(host, otherHost)
    }
}
