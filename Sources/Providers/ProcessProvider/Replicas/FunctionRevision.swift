// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import ProcessControl

/// One revision of a function, parsed: what its replicas run and how.
struct FunctionRevision: Sendable {
    /// How a replica gets its port (martlet-api "A function's port").
    enum PortPlan: Sendable, Equatable {
        /// A process per call needs none.
        case none
        /// Each replica is told a port of its own.
        case assigned
        /// The deployment names it; there can be one replica only.
        case fixed(Int)
    }

    let id: FunctionID
    let number: Int
    let deployment: FunctionDeployment
    let rules: FunctionRules
    let bundle: BundleDescription?
    let bundleFolder: String?
    let portPlan: PortPlan
    /// What stands before a call's path, from `upstream_url`.
    let pathPrefix: String
    let limits: ResourceLimits
    let startTimeout: Duration

    func holds(_ secret: String) -> Bool { deployment.secrets?.contains(secret) == true }

    var isExclusive: Bool { if case .fixed = portPlan { true } else { false } }

    /// - Throws: `invalidValue` naming what cannot be parsed.
    init(
        id: FunctionID,
        number: Int,
        deployment: FunctionDeployment,
        bundle: BundleDescription?,
        bundleFolder: String?
    ) throws(PlatformFault) {
        self.id = id
        self.number = number
        self.deployment = deployment
        self.bundle = bundle
        self.bundleFolder = bundleFolder
        var bundleEnvironment = bundle?.environment ?? [:]
        if let program = bundle?.fprocess { bundleEnvironment["fprocess"] = program }
        var rules = try FunctionRules(deployment, bundleEnvironment: bundleEnvironment, bundleMode: bundle?.mode)
        guard !rules.command.isEmpty else {
            throw PlatformFault(
                .invalidValue,
                "The function \(id.name) has no program to run.",
                hint: "Name it by fprocess, as: martlet deploy \(id.name) --image host --fprocess \"cat\""
            )
        }
        (portPlan, pathPrefix) = try Self.port(rules)
        // The autoscaler need not learn by failing that there is room for one only.
        if case .fixed = portPlan { rules.maxReplicas = max(1, rules.minReplicas) }
        self.rules = rules
        limits = ResourceLimits(
            memoryBytes: deployment.limits?.memory.flatMap(Quantity.parseMemoryBytes),
            milliCPU: deployment.limits?.cpu.flatMap(Quantity.parseMilliCPU),
            processes: try Self.processLimit(deployment)
        )
        startTimeout = try Self.startTimeout(deployment)
    }

    private static func startTimeout(_ deployment: FunctionDeployment) throws(PlatformFault) -> Duration {
        guard let text = deployment.labels?["com.martlet.start.timeout"] else { return .seconds(60) }
        guard let limit = GoDuration.parse(text), limit > .zero else {
            throw PlatformFault(
                .invalidValue,
                "The label com.martlet.start.timeout is \"\(NameRule.printable(text))\", which is not a duration.",
                hint: "Write it as 30s."
            )
        }
        return limit
    }

    private static func processLimit(_ deployment: FunctionDeployment) throws(PlatformFault) -> Int? {
        guard let text = deployment.labels?["com.martlet.limits.pids"] else { return nil }
        guard let limit = Int(text), (1...4_194_304).contains(limit) else {
            throw PlatformFault(
                .invalidValue,
                "The label com.martlet.limits.pids is \"\(NameRule.printable(text))\".",
                hint: "Use a whole number of processes and threads, from 1 on."
            )
        }
        return limit
    }

    private static func port(_ rules: FunctionRules) throws(PlatformFault) -> (PortPlan, String) {
        guard rules.mode == .http else { return (.none, "") }
        guard let url = rules.upstreamURL else { return (.assigned, "") }
        guard let parts = UpstreamURL(url) else {
            throw PlatformFault(
                .invalidValue,
                "upstream_url is \"\(NameRule.printable(url))\".",
                hint: "Write it as http://127.0.0.1:$PORT, or leave it out and listen on the variable PORT."
            )
        }
        return (parts.port.map { .fixed($0) } ?? .assigned, parts.path)
    }
}

/// An `upstream_url` of a function on this machine: `http://HOST[:PORT][/PATH]`, where PORT may be `$PORT`.
struct UpstreamURL: Equatable {
    /// Nil where the URL leaves it to `$PORT`.
    let port: Int?
    let path: String

    init?(_ text: String) {
        guard text.hasPrefix("http://") else { return nil }
        let rest = text.dropFirst("http://".count)
        let slash = rest.firstIndex(of: "/") ?? rest.endIndex
        let authority = rest[..<slash].replacing("${PORT}", with: "$PORT")
        let prefix = String(rest[slash...])
        path = prefix.hasSuffix("/") ? String(prefix.dropLast()) : prefix
        for host in ["127.0.0.1", "localhost", "0.0.0.0", "[::1]"] where authority.hasPrefix(host) {
            let portText = authority.dropFirst(host.count)
            if portText == ":$PORT" {
                port = nil
                return
            }
            if portText.isEmpty {
                port = 80
                return
            }
            guard portText.first == ":", let number = Int(portText.dropFirst()), (1...65_535).contains(number) else {
                return nil
            }
            port = number
            return
        }
        return nil
    }
}
