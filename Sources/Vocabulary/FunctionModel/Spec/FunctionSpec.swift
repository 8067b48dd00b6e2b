// SPDX-License-Identifier: Apache-2.0

public import FaultModel

/// What a user wants to run, parsed: made once from a deployment, and all that a provider or a router is given.
public struct FunctionSpec: Sendable, Equatable {
    /// The function.
    public let id: FunctionID
    /// What its replicas run and how.
    public var run: RunSpec
    /// How its calls are dealt with.
    public var calls: CallPolicy
    /// How many replicas it may have, and what decides on their number.
    public var scaling: ScalingSpec
    /// Further paths at which it is called; each begins with a slash and has none at its end.
    public var paths: [String]
    /// The deployment as it was given, with its namespace and without the label that only reading adds: what is stored,
    /// compared and sent on.
    public let deployment: FunctionDeployment

    /// Its labels as given.
    public var labels: [String: String] { deployment.labels ?? [:] }
    /// Its annotations as given.
    public var annotations: [String: String] { deployment.annotations ?? [:] }

    /// Reads a new deployment; a namespace that it does not name is the default one.
    ///
    /// - Throws: `invalidValue` naming what cannot be parsed, is out of its range, or is a label or an annotation of
    ///   Martlet's that does not exist.
    public init(
        _ deployment: FunctionDeployment,
        defaultNamespace: String = NameRule.defaultNamespace
    ) throws(PlatformFault) {
        let namespace = deployment.namespace.flatMap { $0.isEmpty ? nil : $0 } ?? defaultNamespace
        let id = try FunctionID(validatingName: deployment.service, namespace: namespace)
        guard !deployment.image.isEmpty else {
            throw PlatformFault(
                .invalidValue,
                "validation failed: image: is required",
                hint: "Use \"host\" to run a program of this machine."
            )
        }
        try EnvironmentRule.check(deployment)
        for name in deployment.secrets ?? [] { try NameRule.checkSecret(name) }
        var reader = SpecReader(deployment)
        self.init(deployment, of: id, &reader)
        try reader.throwFault()
    }

    /// Reads a deployment that was accepted before, perhaps by another version: what cannot be parsed counts as absent,
    /// and each of these faults is noted as a sentence.
    ///
    /// What says who may call the function never opens it: an access mode that is not known stays as it is, and lets nobody
    /// in; of its methods those that can be parsed are left, be it none.
    public init(stored deployment: FunctionDeployment, of id: FunctionID, noting: (String) -> Void = { _ in }) {
        var reader = SpecReader(deployment)
        self.init(deployment, of: id, &reader)
        for fault in reader.faults { noting(fault.hint.map { "\(fault.message) \($0)" } ?? fault.message) }
    }

    /// Reads what a provider elsewhere tells of a function, as leniently.
    public init(received status: FunctionStatus, noting: (String) -> Void = { _ in }) {
        self.init(stored: FunctionDeployment(status), of: status.id, noting: noting)
    }

    private init(_ deployment: FunctionDeployment, of id: FunctionID, _ reader: inout SpecReader) {
        self.id = id
        var written = deployment.asWritten
        written.namespace = id.namespace
        self.deployment = written
        reader.noteUnknownLabels()
        let variables = RunVariables(&reader)
        run = RunSpec(deployment, variables, &reader)
        calls = CallPolicy(run, variables, &reader)
        scaling = ScalingSpec(&reader)
        paths = reader.paths()
        reader.noteUnknownAccess(calls.access)
    }
}

extension FunctionDeployment {
    /// The deployment that a status shows.
    fileprivate init(_ status: FunctionStatus) {
        self.init(
            service: status.name,
            image: status.image,
            namespace: status.namespace,
            envProcess: status.envProcess,
            envVars: status.envVars,
            constraints: status.constraints,
            secrets: status.secrets,
            labels: status.labels,
            annotations: status.annotations,
            limits: status.limits,
            requests: status.requests,
            readOnlyRootFilesystem: status.readOnlyRootFilesystem
        )
    }
}

extension SpecReader {
    fileprivate init(_ deployment: FunctionDeployment) {
        self.init(
            variables: deployment.envVars ?? [:],
            labels: deployment.labels ?? [:],
            annotations: deployment.annotations ?? [:]
        )
    }

    /// What this version cannot grant must not be asked for.
    fileprivate mutating func noteUnknownAccess(_ access: AccessMode) {
        guard access != .public else { return }
        note(
            "\(PlatformLabel.access.name) is \"\(NameRule.printable(access.rawValue))\", which cannot be checked yet.",
            hint: "Use public, or leave it out: everybody who reaches the gateway may call the function."
        )
    }
}

// MARK: Running

extension RunSpec {
    fileprivate init(_ deployment: FunctionDeployment, _ variables: RunVariables, _ reader: inout SpecReader) {
        image = deployment.image
        let own = deployment.envProcess.flatMap { $0.isEmpty ? nil : $0 }
        command = own.map { $0.split(separator: " ").map(String.init) } ?? variables.command(nil)
        environment = deployment.envVars ?? [:]
        secrets = deployment.secrets ?? []
        limits = reader.amounts(deployment.limits, "limits")
        limits.processes = reader.number(.processLimit, in: 1...4_194_304)
        requests = reader.amounts(deployment.requests, "requests")
        constraints = deployment.constraints ?? []
        readOnlyRoot = deployment.readOnlyRootFilesystem ?? false
        readiness = reader.probe("com.openfaas.ready.http") ?? variables.readyPath.map { ProbeSpec(path: $0) }
        liveness = reader.probe("com.openfaas.health.http")
        mode = variables.mode
        upstreamURL = variables.upstreamURL
        execTimeout = variables.execTimeout
        gracePeriod = variables.gracePeriod
        startTimeout = reader.startTimeout()
        contentType = variables.contentType
        logLineLimit = variables.logLineLimit
        port = reader.number(.port, in: 1...65_535) ?? reader.number(variable: "port", in: 1...65_535)
        pullPolicy = reader.pullPolicy()
    }
}

extension SpecReader {
    fileprivate mutating func amounts(_ given: FunctionResources?, _ kind: String) -> ResourceAmounts {
        ResourceAmounts(
            memoryBytes: amount(given?.memory, "\(kind).memory", "memory", "128Mi or 1Gi", Quantity.parseMemoryBytes),
            milliCPU: amount(given?.cpu, "\(kind).cpu", "CPU", "100m or 0.5", Quantity.parseMilliCPU),
            gpus: gpus(given?.gpus ?? [:], kind)
        )
    }

    private mutating func amount(
        _ text: String?,
        _ name: String,
        _ what: String,
        _ example: String,
        _ parse: (String) -> Int?
    ) -> Int? {
        guard let text, !text.isEmpty else { return nil }
        let amount = parse(text)
        if amount == nil {
            note(
                "\(name) \"\(NameRule.printable(text))\" is not an amount of \(what).",
                hint: "Write it as \(example)."
            )
        }
        return amount
    }

    private mutating func gpus(_ given: [String: String], _ kind: String) -> [String: Int] {
        var numbers: [String: Int] = [:]
        for (key, text) in given.sorted(by: { $0.key < $1.key }) where !text.isEmpty {
            numbers[key] = Int(text).flatMap { (0...1024).contains($0) ? $0 : nil }
            if numbers[key] == nil {
                note("\(kind) \(key) is \"\(NameRule.printable(text))\".", hint: "Use a whole number from 0 to 1024.")
            }
        }
        return numbers
    }

    /// The probe of the annotations under a prefix (contract §14.2); nil when there is no path.
    fileprivate mutating func probe(_ prefix: String) -> ProbeSpec? {
        guard let path = annotations["\(prefix).path"], !path.isEmpty else { return nil }
        var probe = ProbeSpec(path: path)
        probe.initialDelay = duration(annotation: "\(prefix).initialDelaySeconds", "\(prefix).initialDelay") ?? .zero
        probe.period = duration(annotation: "\(prefix).periodSeconds", "\(prefix).period")
        probe.timeout = duration(annotation: "\(prefix).timeoutSeconds", "\(prefix).timeout") ?? .seconds(1)
        probe.successThreshold = number(annotation: "\(prefix).successThreshold", in: 1...1000) ?? 1
        probe.failureThreshold = number(annotation: "\(prefix).failureThreshold", in: 1...1000) ?? 3
        return probe
    }

    fileprivate mutating func startTimeout() -> Duration? {
        guard let limit = duration(.startTimeout) else { return nil }
        guard limit == .zero else { return limit }
        note("The label \(PlatformLabel.startTimeout.name) is 0.", hint: "Use more than 0, as 30s.")
        return nil
    }
}

extension SpecReader {
    fileprivate mutating func pullPolicy() -> PullPolicy? {
        guard let word = text(.imagePull) else { return nil }
        let policy = PullPolicy(rawValue: word)
        if policy == nil {
            note(
                "\(PlatformLabel.imagePull.name) is \"\(NameRule.printable(word))\".",
                hint: "Use \(PullPolicy.allCases.map(\.rawValue).joined(separator: ", "))."
            )
        }
        return policy
    }
}

// MARK: Calls

extension CallPolicy {
    fileprivate init(_ run: RunSpec, _ variables: RunVariables, _ reader: inout SpecReader) {
        self.init(
            deadline: run.execTimeout == .zero ? nil : run.execTimeout,
            maxInFlight: variables.maxInFlight.flatMap { $0 == 0 ? nil : $0 },
            queueDepth: reader.number(.queueDepth, in: 0...1_000_000) ?? Self.usualQueueDepth,
            buffersRequestBody: variables.buffersRequestBody,
            retry: reader.retry(),
            access: reader.text(.access).map { AccessMode(rawValue: $0) } ?? .public,
            methods: reader.methods()
        )
    }
}

extension SpecReader {
    fileprivate mutating func retry() -> CallPolicy.Retry {
        let prefix = "com.openfaas.retry"
        return CallPolicy.Retry(
            attempts: number(annotation: "\(prefix).attempts", in: 0...10_000).map { max(1, $0) },
            codes: statuses("\(prefix).codes"),
            firstWait: duration(annotation: "\(prefix).min_wait"),
            longestWait: duration(annotation: "\(prefix).max_wait")
        )
    }

    private mutating func statuses(_ name: String) -> [Int]? {
        guard let text = annotations[name] else { return nil }
        let words = Self.words(text)
        let statuses = words.compactMap { Int($0) }.filter { (100...999).contains($0) }
        if statuses.count == words.count { return statuses }
        note(
            "The annotation \(name) is \"\(NameRule.printable(text))\".",
            hint: "List statuses, as 429,502,503."
        )
        return nil
    }

    fileprivate mutating func methods() -> [String]? {
        guard let words = list(.methods) else { return nil }
        let methods = words.filter(NameRule.isMethod)
        if !methods.isEmpty, methods.count == words.count { return methods }
        note(
            "\(PlatformLabel.methods.name) is \"\(NameRule.printable(text(.methods) ?? ""))\".",
            hint: "List methods in capital letters, as GET, POST."
        )
        // Whoever wrote it wanted fewer methods, not all of them.
        return methods
    }
}

// MARK: Scaling

extension ScalingSpec {
    fileprivate init(_ reader: inout SpecReader) {
        let counts = Int(Int32.max)
        min = Swift.max(1, reader.number(label: "com.openfaas.scale.min", in: 0...counts) ?? 1)
        max = reader.number(label: "com.openfaas.scale.max", in: 1...counts) ?? Self.usualMaximum
        factor = reader.number(label: "com.openfaas.scale.factor", in: 0...100) ?? Self.usualFactor
        rules = reader.scalingRules()
        if min > max {
            reader.note("com.openfaas.scale.min (\(min)) is above com.openfaas.scale.max (\(max)).")
        }
    }
}

extension SpecReader {
    fileprivate mutating func scalingRules() -> ScalingRules? {
        attempt { [labels, annotations] () throws(PlatformFault) in
            try ScalingRules(labels: labels, annotations: annotations)
        }
    }
}

// MARK: Paths

extension SpecReader {
    fileprivate mutating func paths() -> [String] {
        var seen: Set<String> = []
        return (list(.path) ?? []).compactMap { path in
            if let normal = PathRule.normalForm(path) { return seen.insert(normal).inserted ? normal : nil }
            note(
                "\(PlatformLabel.path.name) has \"\(NameRule.printable(path))\".",
                hint: "Write paths as /shop or /shop/cart, of letters, digits, -, ., _ and ~ between the slashes; "
                    + PathRule.ownSegments.map { "/" + $0 }.joined(separator: ", ") + " are the platform's."
            )
            return nil
        }
    }
}
