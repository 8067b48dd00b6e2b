// SPDX-License-Identifier: Apache-2.0

/// Who asks: one that has shown who it is, or nobody in particular.
public struct Principal: Sendable, Hashable {
    /// What a principal is; a struct, so that kinds can be added without breaking whoever tells some of them apart.
    public struct Kind: RawRepresentable, Sendable, Hashable {
        /// The word for it, in small letters.
        public let rawValue: String

        /// Makes a kind; prefer the named ones.
        public init(rawValue: String) { self.rawValue = rawValue }

        /// Has the platform's password and may do everything.
        public static let administrator = Kind(rawValue: "administrator")
        /// Has shown nothing.
        public static let nobody = Kind(rawValue: "nobody")
    }

    /// What it is.
    public let kind: Kind
    /// What it is called, for people and records; empty for nobody.
    public let name: String

    /// Makes a principal; only what has authenticated it should.
    public init(_ kind: Kind, name: String) {
        self.kind = kind
        self.name = name
    }

    /// Whoever has the platform's password.
    public static func administrator(_ name: String) -> Principal { Principal(.administrator, name: name) }

    /// Whoever has shown nothing.
    public static let nobody = Principal(.nobody, name: "")

    /// Whether it may do something: nothing that was not given to it.
    public func may(_ permission: Permission) -> Bool { kind == .administrator }
}

extension Principal: CustomStringConvertible {
    /// For sentences and logs.
    public var description: String { name.isEmpty ? kind.rawValue : name }
}
