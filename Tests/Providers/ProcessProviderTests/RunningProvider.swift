// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionModel
import Logging
import ProcessControl
import ProviderContract
import SQLiteStore
import TestSupport

@testable import ProcessProvider
@testable import ReplicaSupervision

/// A provider of processes, with a data directory of its own.
struct RunningProvider {
    let provider: LocalProcessProvider
    private let folder: TemporaryFolder
    private let directory: DataDirectory

    init(
        in folder: TemporaryFolder = TemporaryFolder(),
        generation: Generation = .even,
        hasPredecessor: Bool = false,
        requiresLimits: Bool = false
    ) async throws {
        self.folder = folder
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        directory = try DataDirectory(path: folder.path + "/data")
        provider = try await LocalProcessProvider(
            LocalProcessProvider.Settings(
                LocalProcessProvider.Basis(
                    dataDirectory: directory,
                    store: try await SQLiteDesiredStore.open(at: directory.file("martlet.sqlite")),
                    version: ProviderInfo.Version(release: "test", sha: "test"),
                    generation: generation,
                    hasPredecessor: hasPredecessor
                ),
                platformURL: "http://127.0.0.1:8080",
                requiresLimits: requiresLimits
            ),
            logger: logger
        )
    }

    /// Gives its state to another provider on the same directory, whose functions begin beside this one's.
    func successor() async throws -> RunningProvider {
        await provider.handOver()
        directory.release()
        return try await RunningProvider(
            in: folder,
            generation: provider.basis.generation.other,
            hasPredecessor: true
        )
    }

    func stop() async { await provider.shutdown(within: .seconds(5)) }

    static func id(_ name: String) -> FunctionID { FunctionID(name: name, namespace: NameRule.defaultNamespace) }

    /// Creates a function that runs a script, from a file, and returns its first replica when that is ready.
    func create(
        _ name: String,
        script: String,
        variables: [String: String] = [:],
        limits: FunctionResources? = nil
    ) async throws -> Replica {
        let program = folder.write("\(name)-\(UUID().uuidString)", "#!/bin/sh\n\(script)", isExecutable: true)
        return try await create(name, program: program, variables: variables, limits: limits)
    }

    /// Creates a function and returns its first replica when that is ready.
    func create(
        _ name: String,
        program: String,
        variables: [String: String] = [:],
        limits: FunctionResources? = nil
    ) async throws -> Replica {
        var deployment = FunctionDeployment(service: name, image: "host", envProcess: program, envVars: variables)
        deployment.limits = limits
        try await provider.create(FunctionSpec(deployment))
        return try await replica(of: name)
    }

    /// The first ready replica of a function.
    func replica(of name: String) async throws -> Replica {
        for await update in provider.watch() {
            if let replica = update.routes.first(where: { $0.id == Self.id(name) })?.replicas.first { return replica }
        }
        throw NoReplica()
    }

    struct NoReplica: Error {}

    /// What there is of logs of functions that were deleted.
    var logsOfDeleted: [String] {
        (try? FileManager.default.contentsOfDirectory(atPath: folder.path + "/data/logs/.left")) ?? []
    }

    /// The lines of a function's log that are there now.
    func lines(of name: String) async throws -> [String] {
        var lines: [String] = []
        for try await line in try await provider.logs(LogQuery(function: Self.id(name))) { lines.append(line.text) }
        return lines
    }
}

/// A call that a process carries out.
struct ForkedCall {
    let process: LaunchedProcess
    private let ended: Outcome<ProcessEnd>

    /// Starts a process at a replica; its input is empty.
    init(at replica: Replica, _ variables: [(name: String, value: String)] = []) async throws {
        guard let launcher = (replica.target as? ProcessTarget)?.launcher else { throw RunningProvider.NoReplica() }
        let ended = Outcome<ProcessEnd>()
        process = try await withCheckedThrowingContinuation { continuation in
            launcher.launch(
                requestVariables: variables,
                started: { continuation.resume(with: $0) },
                ended: { ended.resolve($0) }
            )
        }
        self.ended = ended
        close(process.standardInput)
    }

    /// Waits for its end; what it printed is thrown away.
    func end() async -> ProcessEnd {
        defer { close(process.standardOutput) }
        return await ended.value()
    }
}

/// Whether a process, whose id a file holds, is running.
func isRunning(_ file: String) -> Bool {
    guard let text = try? String(contentsOfFile: file, encoding: .utf8), let process = Int32(text.trimmed) else {
        return false
    }
    let state = (try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8)) ?? ""
    return !state.isEmpty && !state.contains(") Z ")
}

extension String {
    fileprivate var trimmed: String { trimmingCharacters(in: .whitespacesAndNewlines) }
}
