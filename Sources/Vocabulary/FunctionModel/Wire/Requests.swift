// SPDX-License-Identifier: Apache-2.0

/// The body of a deletion (contract §8.7).
public struct DeleteFunctionRequest: Sendable, Codable, Equatable {
    /// The function's name.
    public var functionName: String
    /// Its namespace; nil or empty means the query's, then the default one.
    public var namespace: String?

    /// Makes a body.
    public init(functionName: String, namespace: String? = nil) {
        self.functionName = functionName
        self.namespace = namespace
    }
}

/// The body of a scaling (contract §8.8).
public struct ScaleFunctionRequest: Sendable, Codable, Equatable {
    /// The function's name; nil means the path's.
    public var serviceName: String?
    /// The number of replicas, required, 0 to `Int32.max` (contract §29).
    public var replicas: Int?
    /// Its namespace; nil or empty means the query's, then the default one.
    public var namespace: String?
    /// Whether a number that is greater already stays, as for calls that wait; ours.
    public var isLeast: Bool?

    /// The header field of the answer with the number that was accepted.
    public static let acceptedField = "X-Martlet-Replicas"

    private enum CodingKeys: String, CodingKey {
        case serviceName, replicas, namespace
        case isLeast = "atLeast"
    }

    /// Makes a body.
    public init(serviceName: String?, replicas: Int?, namespace: String? = nil) {
        self.serviceName = serviceName
        self.replicas = replicas
        self.namespace = namespace
    }
}

/// A secret on the wire (contract §9).
///
/// Values are never returned.
public struct SecretRecord: Sendable, Codable, Equatable {
    /// The secret's name.
    public var name: String
    /// Its namespace; nil or empty means the default one.
    public var namespace: String?
    /// The value as text.
    public var value: String?
    /// The value as base64; preferred when both are given.
    public var rawValue: String?

    /// Makes a record.
    public init(name: String, namespace: String? = nil, value: String? = nil, rawValue: String? = nil) {
        self.name = name
        self.namespace = namespace
        self.value = value
        self.rawValue = rawValue
    }
}

/// A namespace on the wire (contract §10).
public struct NamespaceRecord: Sendable, Codable, Equatable {
    /// The namespace's name.
    public var name: String
    /// Its annotations.
    public var annotations: [String: String]?
    /// Its labels.
    public var labels: [String: String]?

    /// Makes a record.
    public init(name: String, annotations: [String: String]? = nil, labels: [String: String]? = nil) {
        self.name = name
        self.annotations = annotations
        self.labels = labels
    }
}

/// One line of a function's log (contract §11).
public struct LogLine: Sendable, Codable, Equatable {
    /// The function's name.
    public var name: String
    /// Its namespace.
    public var namespace: String
    /// The replica that wrote the line.
    public var instance: String
    /// When the line was read.
    public var timestamp: Timestamp
    /// The line without its end.
    public var text: String

    /// Makes a line.
    public init(name: String, namespace: String, instance: String, timestamp: Timestamp, text: String) {
        self.name = name
        self.namespace = namespace
        self.instance = instance
        self.timestamp = timestamp
        self.text = text
    }
}

/// Which lines of a log are wanted (contract §11).
public struct LogQuery: Sendable, Equatable {
    /// The function.
    public var function: FunctionID
    /// Only lines of this replica; nil means all.
    public var instance: String?
    /// At most so many of the last lines that exist already; nil means no limit.
    public var tail: Int?
    /// Only lines since this moment; nil means all.
    public var since: Timestamp?
    /// Whether to go on with lines as they are written.
    public var follow: Bool

    /// Makes a query.
    public init(
        function: FunctionID,
        instance: String? = nil,
        tail: Int? = nil,
        since: Timestamp? = nil,
        follow: Bool = false
    ) {
        self.function = function
        self.instance = instance
        self.tail = tail
        self.since = since
        self.follow = follow
    }
}

/// What `GET /system/info` says of a provider (contract §12.1).
public struct ProviderInfo: Sendable, Codable, Equatable {
    /// A program's version.
    public struct Version: Sendable, Codable, Equatable {
        /// The first line of the commit's message.
        public var commitMessage: String?
        /// The commit.
        public var sha: String
        /// The release.
        public var release: String

        /// Makes a version.
        public init(release: String, sha: String, commitMessage: String? = nil) {
            self.release = release
            self.sha = sha
            self.commitMessage = commitMessage
        }

        private enum CodingKeys: String, CodingKey {
            case commitMessage = "commit_message"
            case sha
            case release
        }
    }

    /// The provider's name.
    public var provider: String
    /// Its version.
    public var version: Version
    /// What runs the functions: `process`, `docker`, `kubernetes`.
    public var orchestration: String

    /// Makes an info.
    public init(provider: String, version: Version, orchestration: String) {
        self.provider = provider
        self.version = version
        self.orchestration = orchestration
    }
}

/// The answer of `GET /system/info` (contract §12.1).
public struct SystemInfo: Sendable, Codable, Equatable {
    /// A provider of which a gateway hears nothing.
    public struct Loss: Sendable, Codable, Equatable {
        /// Since when.
        public var since: Timestamp
        /// Why, as a sentence.
        public var reason: String

        /// Describes it.
        public init(since: Timestamp, reason: String) {
            self.since = since
            self.reason = reason
        }
    }

    /// The provider; nil (written as `null`) when it cannot be reached.
    public var provider: ProviderInfo?
    /// The gateway's version.
    public var version: ProviderInfo.Version?
    /// The machine's architecture, as `x86_64`.
    public var arch: String?
    /// Set while the gateway does not hear of the provider's functions; their routes stay as they were.
    public var lost: Loss?

    /// Makes an info.
    public init(provider: ProviderInfo?, version: ProviderInfo.Version?, arch: String?) {
        self.provider = provider
        self.version = version
        self.arch = arch
    }

    /// Writes the info; an unknown provider is written as `null`.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(provider, forKey: .provider)
        try container.encodeIfPresent(version, forKey: .version)
        try container.encodeIfPresent(arch, forKey: .arch)
        try container.encodeIfPresent(lost, forKey: .lost)
    }
}

/// A bundle in a provider's local image store (martlet-api "Bundles").
public struct BundleRecord: Sendable, Codable, Equatable {
    /// The image's name, without tag.
    public var name: String
    /// The tag.
    public var tag: String
    /// `sha256-…` of the bundle's content.
    public var digest: String
    /// The template's language.
    public var language: String?
    /// When the bundle was stored.
    public var createdAt: Timestamp

    /// Makes a record.
    public init(name: String, tag: String, digest: String, language: String?, createdAt: Timestamp) {
        self.name = name
        self.tag = tag
        self.digest = digest
        self.language = language
        self.createdAt = createdAt
    }
}
