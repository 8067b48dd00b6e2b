// SPDX-License-Identifier: Apache-2.0

public import FaultModel

/// A function's full name: its name and its namespace.
public struct FunctionID: Hashable, Sendable {
    /// The name, a DNS label (contract §8.1).
    public let name: String
    /// The namespace, a DNS label (contract §10).
    public let namespace: String

    /// Makes an id from parts that are already known to be valid.
    public init(name: String, namespace: String) {
        self.name = name
        self.namespace = namespace
    }

    /// Makes an id, checking both parts.
    ///
    /// - Throws: `invalidValue` when a part breaks the rule of names.
    public init(validatingName name: String, namespace: String) throws(PlatformFault) {
        try NameRule.checkFunction(name)
        try NameRule.checkNamespace(namespace)
        self.init(name: name, namespace: namespace)
    }

    /// Reads `NAME` or `NAME.NAMESPACE`, split at the last dot (contract §3).
    ///
    /// Nil for an empty name or namespace; parts are not checked further, since a lookup follows.
    public init?(address: String, defaultNamespace: String) {
        guard let dot = address.lastIndex(of: ".") else {
            guard !address.isEmpty else { return nil }
            self.init(name: address, namespace: defaultNamespace)
            return
        }
        let name = String(address[..<dot])
        let namespace = String(address[address.index(after: dot)...])
        guard !name.isEmpty, !namespace.isEmpty else { return nil }
        self.init(name: name, namespace: namespace)
    }
}

extension FunctionID: CustomStringConvertible {
    /// `name.namespace`, as metrics and routes have it.
    public var description: String { "\(name).\(namespace)" }
}

extension FunctionID: Comparable {
    /// By namespace, then by name.
    public static func < (left: FunctionID, right: FunctionID) -> Bool {
        (left.namespace, left.name) < (right.namespace, right.name)
    }
}
