// SPDX-License-Identifier: Apache-2.0

/// How a function runs as containers of an image, with nothing left open but what the image itself decides.
public struct ContainerRun: Sendable, Equatable {
    /// The port on which it listens inside.
    public var port: Int
    /// Time between SIGTERM and SIGKILL.
    public var gracePeriod: Duration
    /// How long a replica may take to become ready.
    public var startTimeout: Duration
    /// How readiness is found out; it always names a path.
    public var readiness: ProbeSpec
    /// How a ready replica is watched; nil means by its container alone.
    public var liveness: ProbeSpec?
    /// Longest line of a log that is kept whole, in bytes; nil means as long as can be kept.
    public var logLineLimit: Int?

    /// The port of OpenFaaS' watchdogs.
    public static let usualPort = 8080
    /// How often a starting container is asked, where the deployment says nothing.
    public static let usualPeriod = Duration.milliseconds(10)
}

extension FunctionSpec {
    /// Fills in what a container image says by its variables, then what holds for containers.
    ///
    /// An absent `exec_timeout` stays absent, since the image's own server may have any limit, and `mode` is the image's
    /// affair. What of the image's variables cannot be parsed counts as absent: a foreign image may use the same names for
    /// something else.
    public func contained(in image: ImageDefaults) -> (spec: FunctionSpec, run: ContainerRun) {
        // What the deployment names, even as empty, the image has no say in.
        var reader = SpecReader(variables: image.environment.filter { run.environment[$0.key] == nil })
        let said = RunVariables(&reader)
        let imagePort = reader.number(variable: "port", in: 1...65_535)
        var spec = self
        spec.run.execTimeout = run.execTimeout ?? said.execTimeout
        spec.run.port = run.port ?? imagePort
        spec.run.readiness = run.readiness ?? said.readyPath.map { ProbeSpec(path: $0) }
        spec.calls.deadline = spec.run.execTimeout == .zero ? nil : spec.run.execTimeout
        spec.calls.maxInFlight = calls.maxInFlight ?? said.maxInFlight.flatMap { $0 == 0 ? nil : $0 }
        return (spec, ContainerRun(spec.run, isWatchdog: isWatchdog(said)))
    }

    /// Whether what listens is one of the watchdogs, which have a path for readiness.
    private func isWatchdog(_ said: RunVariables) -> Bool {
        let isNamed = !run.command.isEmpty || !said.command(nil).isEmpty
        return isNamed && (run.mode ?? said.mode) != nil
    }
}

extension ContainerRun {
    fileprivate init(_ run: RunSpec, isWatchdog: Bool) {
        port = run.port ?? Self.usualPort
        gracePeriod = run.gracePeriod ?? .seconds(10)
        startTimeout = run.startTimeout ?? .seconds(60)
        let limit = run.logLineLimit ?? 65_536
        logLineLimit = limit < 0 ? nil : limit
        readiness = run.readiness ?? Self.usualProbe(isWatchdog: isWatchdog)
        if readiness.period == nil { readiness.period = Self.usualPeriod }
        liveness = run.liveness
    }

    /// A classic watchdog, which is told by its having no mode, carries a call out for any other path.
    private static func usualProbe(isWatchdog: Bool) -> ProbeSpec {
        var probe = ProbeSpec(path: isWatchdog ? "/_/ready" : "/_/health")
        probe.acceptsAnyStatus = !isWatchdog
        return probe
    }
}
