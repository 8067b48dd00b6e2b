// SPDX-License-Identifier: Apache-2.0

public import FaultModel

/// Something that people ask of providers and not every provider can do.
public enum ProviderLack: Sendable, CaseIterable {
    /// Reading functions' logs.
    case logs
    /// Keeping secrets.
    case secrets
    /// Describing, making, changing and removing namespaces.
    case namespaces
    /// Keeping images of its own.
    case images
    /// Having no replica of a function.
    case zeroReplicas
    /// Having more than one replica of a function.
    case severalReplicas

    /// What such a provider does or does not, to be put behind its name.
    public var predicate: String {
        switch self {
        case .logs: "does not show functions' logs"
        case .secrets: "keeps no secrets"
        case .namespaces: "has namespaces that cannot be changed from here"
        case .images: "keeps no images of its own"
        case .zeroReplicas: "cannot do without a replica of a function"
        case .severalReplicas: "runs one replica of each function"
        }
    }

    private var hint: String {
        switch self {
        case .logs: "Read them where its functions run."
        case .secrets: "Give functions what they need in environment variables."
        case .namespaces: "Use one that is there: martlet namespace list"
        case .images: "Put the image where the provider fetches images, and deploy it by its name."
        case .zeroReplicas: "Ask for at least 1, or remove the function: martlet remove NAME"
        case .severalReplicas: "Ask for 1 replica."
        }
    }

    /// The fault of asking for it; `provider` is the provider's name, nil where it does not tell.
    public func fault(of provider: String?) -> PlatformFault {
        let name = provider.map { " \(NameRule.printable($0))" } ?? ""
        return PlatformFault(.notSupported, "The provider\(name) \(predicate).", hint: hint)
    }
}

extension ProviderCapabilities {
    /// Whether something is beyond a provider.
    public func lacks(_ what: ProviderLack) -> Bool {
        switch what {
        case .logs: !logs
        case .secrets: !secrets
        case .namespaces: !namespaces
        case .images: !images
        case .zeroReplicas: !behaviours.scalesToZero
        case .severalReplicas: !behaviours.runsSeveralReplicas
        }
    }

    /// What keeps a provider from having so many replicas of a function; nil where nothing does.
    public func lack(forReplicas count: Int) -> ProviderLack? {
        if count == 0, lacks(.zeroReplicas) { return .zeroReplicas }
        return count > 1 && lacks(.severalReplicas) ? .severalReplicas : nil
    }
}
