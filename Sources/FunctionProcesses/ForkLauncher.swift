// SPDX-License-Identifier: Apache-2.0

import Glibc
public import ProcessControl
public import ProviderContract
import Synchronization

/// Starts a process for each call of a slot (contract §15.4).
public final class ForkLauncher: ProcessLauncher {
    /// The type of what its processes print.
    public let contentType: String
    private let spec: ProcessSpec
    /// What the function's own environment says is not for its callers to change.
    private let ownNames: Set<String>
    private let spawner: ProcessSpawner
    private let running = Mutex<Set<Int32>>([])

    /// Makes a launcher of processes as specified, with piped streams.
    public init(spec: ProcessSpec, contentType: String, spawner: ProcessSpawner) {
        self.spec = spec
        ownNames = Set(spec.environment.map { $0.name })
        self.contentType = contentType
        self.spawner = spawner
    }

    /// See the contract's `launch`.
    public func launch(
        requestVariables: [(name: String, value: String)],
        started: @escaping @Sendable (Result<LaunchedProcess, ProcessLaunchError>) -> Void,
        ended: @escaping @Sendable (ProcessEnd) -> Void
    ) {
        var spec = spec
        spec.environment += requestVariables.filter { !ownNames.contains($0.name) }
        let processID = Atomic32()
        spawner.start(
            spec,
            started: { [self] outcome in
                switch outcome {
                case .failure(let error): started(.failure(ProcessLaunchError(message: error.message)))
                case .success(let process):
                    processID.store(process.processID)
                    running.withLock { _ = $0.insert(process.processID) }
                    started(launched(process))
                }
            },
            ended: { [self] exit in
                running.withLock { _ = $0.remove(processID.load()) }
                ended(exit.asProcessEnd)
            }
        )
    }

    private func launched(_ process: StartedProcess) -> Result<LaunchedProcess, ProcessLaunchError> {
        guard let input = process.standardInput, let output = process.standardOutput else {
            return .failure(ProcessLaunchError(message: "the process has no streams"))
        }
        let (spawner, processID) = (spawner, process.processID)
        return .success(
            LaunchedProcess(
                processID: processID,
                standardInput: input,
                standardOutput: output,
                kill: { spawner.signalGroup(of: processID, SIGKILL) }
            )
        )
    }

    /// Ends what still runs.
    public func retire() {
        for processID in running.withLock({ $0 }) { spawner.signalGroup(of: processID, SIGKILL) }
    }
}

/// A process id that one thread writes and another reads.
private final class Atomic32: Sendable {
    private let value = Atomic<Int32>(0)

    func store(_ new: Int32) { value.store(new, ordering: .releasing) }

    func load() -> Int32 { value.load(ordering: .acquiring) }
}

extension ProcessExit {
    /// The same in the contract's words.
    public var asProcessEnd: ProcessEnd {
        switch self {
        case .exited(let code): .exited(code)
        case .signalled(let number): .signalled(number)
        }
    }
}
