// SPDX-License-Identifier: Apache-2.0

/// What a provider can do beyond what every provider must: the facets that it has, and how it behaves (martlet-api
/// "Provider watch").
///
/// A provider never declares it as a whole: its facets are there or not, and its `ProviderBehaviours` stand beside them.
/// On the wire what is absent counts as possible: who is asked for what it cannot do says so itself.
public struct ProviderCapabilities: Sendable, Equatable {
    /// The logs of functions can be read.
    public var logs: Bool
    /// Secrets can be kept.
    public var secrets: Bool
    /// Namespaces can be described, made, changed and removed.
    public var namespaces: Bool
    /// Images of its own can be kept: bundles.
    public var images: Bool
    /// How it behaves.
    public var behaviours: ProviderBehaviours

    /// Names what there is.
    public init(logs: Bool, secrets: Bool, namespaces: Bool, images: Bool, behaviours: ProviderBehaviours) {
        self.logs = logs
        self.secrets = secrets
        self.namespaces = namespaces
        self.images = images
        self.behaviours = behaviours
    }

    /// Everything.
    public static let all = ProviderCapabilities(
        logs: true,
        secrets: true,
        namespaces: true,
        images: true,
        behaviours: .all
    )

    /// Nothing but what every provider must.
    public static let none = ProviderCapabilities(
        logs: false,
        secrets: false,
        namespaces: false,
        images: false,
        behaviours: .none
    )
}

extension ProviderCapabilities {
    /// Replicas may be 0, and a call starts one.
    public var scalesToZero: Bool { behaviours.scalesToZero }
    /// A function may have more than one replica.
    public var runsSeveralReplicas: Bool { behaviours.runsSeveralReplicas }
    /// CPU and memory of functions are told when they are asked for.
    public var reportsUsage: Bool { behaviours.reportsUsage }
    /// State is still there after the provider was killed.
    public var isDurable: Bool { behaviours.isDurable }
    /// A changed secret's file is replaced in running replicas at once.
    public var replacesSecrets: Bool { behaviours.replacesSecrets }
}

extension ProviderCapabilities: Codable {
    private enum CodingKeys: String, CodingKey {
        case logs, secrets, namespaces, images
    }

    /// Reads facets and behaviours, which stand side by side.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        func has(_ key: CodingKeys) throws -> Bool { try container.decodeIfPresent(Bool.self, forKey: key) ?? true }
        self.init(
            logs: try has(.logs),
            secrets: try has(.secrets),
            namespaces: try has(.namespaces),
            images: try has(.images),
            behaviours: try ProviderBehaviours(from: decoder)
        )
    }

    /// Writes facets and behaviours side by side.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(logs, forKey: .logs)
        try container.encode(secrets, forKey: .secrets)
        try container.encode(namespaces, forKey: .namespaces)
        try container.encode(images, forKey: .images)
        try behaviours.encode(to: encoder)
    }
}

/// How a provider behaves where that is its own choice; the conformance suite finds out whether it is true.
public struct ProviderBehaviours: Sendable, Equatable {
    /// Replicas may be 0, and a call starts one.
    public var scalesToZero: Bool
    /// A function may have more than one replica.
    public var runsSeveralReplicas: Bool
    /// CPU and memory of functions are told when they are asked for.
    public var reportsUsage: Bool
    /// State is still there after the provider was killed.
    public var isDurable: Bool
    /// A changed secret's file is replaced in running replicas at once.
    public var replacesSecrets: Bool

    /// Declares behaviours.
    public init(
        scalesToZero: Bool,
        runsSeveralReplicas: Bool,
        reportsUsage: Bool,
        isDurable: Bool,
        replacesSecrets: Bool
    ) {
        self.scalesToZero = scalesToZero
        self.runsSeveralReplicas = runsSeveralReplicas
        self.reportsUsage = reportsUsage
        self.isDurable = isDurable
        self.replacesSecrets = replacesSecrets
    }

    /// Everything.
    public static let all = ProviderBehaviours(
        scalesToZero: true,
        runsSeveralReplicas: true,
        reportsUsage: true,
        isDurable: true,
        replacesSecrets: true
    )

    /// Nothing.
    public static let none = ProviderBehaviours(
        scalesToZero: false,
        runsSeveralReplicas: false,
        reportsUsage: false,
        isDurable: false,
        replacesSecrets: false
    )
}

extension ProviderBehaviours: Codable {
    /// Reads behaviours; one that is not told counts as there.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        func has(_ key: CodingKeys) throws -> Bool { try container.decodeIfPresent(Bool.self, forKey: key) ?? true }
        self.init(
            scalesToZero: try has(.scalesToZero),
            runsSeveralReplicas: try has(.runsSeveralReplicas),
            reportsUsage: try has(.reportsUsage),
            isDurable: try has(.isDurable),
            replacesSecrets: try has(.replacesSecrets)
        )
    }
}
