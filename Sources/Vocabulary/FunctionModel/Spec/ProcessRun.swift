// SPDX-License-Identifier: Apache-2.0

public import FaultModel

/// What an image says of itself, where its deployment says nothing.
public struct ImageDefaults: Sendable, Equatable {
    /// Its variables.
    public var environment: [String: String]
    /// How calls reach its code.
    public var mode: String?
    /// Its command.
    public var process: String?

    /// Makes defaults; an image that says nothing has none.
    public init(environment: [String: String] = [:], mode: String? = nil, process: String? = nil) {
        self.environment = environment
        self.mode = mode
        self.process = process
    }
}

/// How a function runs as processes of this machine, with nothing left open.
public struct ProcessRun: Sendable, Equatable {
    /// How calls reach the function's code (contract §15.4).
    public enum Mode: String, Sendable, CaseIterable {
        /// A long-lived process that speaks HTTP.
        case http
        /// A process per call, standard output streamed as it comes.
        case streaming
        /// A process per call, answered when it has ended.
        case serializing

        /// Whether each call starts a process of its own.
        public var startsProcessPerCall: Bool { self != .http }
    }

    /// How a replica gets its port (martlet-api "A function's port").
    public enum Port: Sendable, Equatable {
        /// A process per call needs none.
        case none
        /// Each replica is told a port of its own.
        case assigned
        /// The deployment names it; there can be one replica only.
        case fixed(Int)
    }

    /// How calls reach the code.
    public var mode: Mode
    /// The command; empty when neither the deployment nor the image has one.
    public var command: [String]
    /// How a replica gets its port.
    public var port: Port
    /// What stands before a call's path, without a slash at its end; from `upstream_url`.
    public var pathPrefix: String
    /// Time between SIGTERM and SIGKILL.
    public var gracePeriod: Duration
    /// How long a replica may take to become ready.
    public var startTimeout: Duration
    /// Longest line of a log that is kept whole, in bytes; nil means as long as can be kept.
    public var logLineLimit: Int?
    /// Type of what a process per call prints.
    public var contentType: String
    /// How readiness is found out.
    public var readiness: ProbeSpec
    /// How a ready replica is watched; nil means by its process alone.
    public var liveness: ProbeSpec?
}

extension FunctionSpec {
    /// What `exec_timeout` is for a process where nobody says it (contract §15.2).
    public static let usualExecTimeout = Duration.seconds(30)

    /// Fills in what an image says, then what holds for processes (contract §15.2).
    ///
    /// - Returns: The spec, whose variables and policy know of the image's, and how it runs.
    /// - Throws: `invalidValue` naming the variable that cannot be parsed, or that no process can be run by.
    public func filled(
        with image: ImageDefaults
    ) throws(PlatformFault) -> (spec: FunctionSpec, run: ProcessRun) {
        // What the deployment names, even as empty, the image has no say in.
        let others = image.environment.filter { run.environment[$0.key] == nil }
        var reader = SpecReader(variables: others)
        let said = RunVariables(&reader)
        try reader.throwFault()
        var spec = self
        spec.run.environment = image.environment.merging(run.environment) { _, own in own }
        spec.run.fill(said, command: image.process, mode: image.mode)
        let limit = spec.run.execTimeout ?? Self.usualExecTimeout
        spec.calls.deadline = limit == .zero ? nil : limit
        spec.calls.maxInFlight = calls.maxInFlight ?? said.maxInFlight.flatMap { $0 == 0 ? nil : $0 }
        spec.calls.buffersRequestBody = calls.buffersRequestBody || said.buffersRequestBody
        return (spec, try ProcessRun(spec.run))
    }
}

extension RunSpec {
    fileprivate mutating func fill(_ said: RunVariables, command line: String?, mode word: String?) {
        if command.isEmpty { command = said.command(line) }
        mode = mode ?? said.mode ?? word
        upstreamURL = upstreamURL ?? said.upstreamURL
        execTimeout = execTimeout ?? said.execTimeout
        gracePeriod = gracePeriod ?? said.gracePeriod
        contentType = contentType ?? said.contentType
        logLineLimit = logLineLimit ?? said.logLineLimit
        readiness = readiness ?? said.readyPath.map { ProbeSpec(path: $0) }
    }
}

extension ProcessRun {
    fileprivate init(_ run: RunSpec) throws(PlatformFault) {
        mode = try Self.mode(run)
        command = run.command
        (port, pathPrefix) = try Self.port(run, mode)
        gracePeriod = run.gracePeriod ?? .seconds(10)
        startTimeout = run.startTimeout ?? .seconds(60)
        let limit = run.logLineLimit ?? 65_536
        logLineLimit = limit < 0 ? nil : limit
        contentType = run.contentType ?? "application/octet-stream"
        readiness = run.readiness ?? ProbeSpec()
        liveness = run.liveness
    }

    private static func mode(_ run: RunSpec) throws(PlatformFault) -> Mode {
        let word = run.mode ?? (run.upstreamURL == nil ? Mode.streaming : .http).rawValue
        guard let mode = Mode(rawValue: word) else {
            throw PlatformFault(
                .invalidValue,
                "The variable mode is \"\(NameRule.printable(word))\".",
                hint: "Use http, streaming or serializing."
            )
        }
        return mode
    }

    private static func port(_ run: RunSpec, _ mode: Mode) throws(PlatformFault) -> (Port, String) {
        guard mode == .http else { return (.none, "") }
        guard let url = run.upstreamURL else { return (.assigned, "") }
        guard let parts = LocalUpstream(url) else {
            throw PlatformFault(
                .invalidValue,
                "upstream_url is \"\(NameRule.printable(url))\".",
                hint: "Write it as http://127.0.0.1:$PORT, or leave it out and listen on the variable PORT."
            )
        }
        return (parts.port.map { .fixed($0) } ?? .assigned, parts.path)
    }
}

/// An `upstream_url` of a function on this machine: `http://HOST[:PORT][/PATH]`, where PORT may be `$PORT` or `${PORT}`.
struct LocalUpstream: Equatable {
    /// Nil where the URL leaves it to the variable.
    let port: Int?
    let path: String

    init?(_ text: String) {
        guard text.hasPrefix("http://") else { return nil }
        let rest = text.dropFirst("http://".count)
        let slash = rest.firstIndex(of: "/") ?? rest.endIndex
        let authority = rest[..<slash]
        let hosts = ["127.0.0.1", "localhost", "0.0.0.0", "[::1]"]
        guard let host = hosts.first(where: { authority.hasPrefix($0) }),
            let place = Self.port(authority.dropFirst(host.count))
        else { return nil }
        port = place
        let prefix = String(rest[slash...])
        path = prefix.hasSuffix("/") ? String(prefix.dropLast()) : prefix
    }

    /// Nil for what is not a port; nil inside where the variable names it.
    private static func port(_ text: Substring) -> Int?? {
        switch text {
        case ":$PORT", ":${PORT}": return .some(nil)
        case "": return 80
        default:
            guard text.first == ":", let number = Int(text.dropFirst()), (1...65_535).contains(number) else {
                return nil
            }
            return number
        }
    }
}
