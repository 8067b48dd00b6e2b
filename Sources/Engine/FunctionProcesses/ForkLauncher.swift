// SPDX-License-Identifier: Apache-2.0

import Glibc
public import ProcessControl
public import ProviderContract
import Synchronization

/// Starts a process for each call of a slot (contract §15.4).
///
/// What a call's process started ends with the call: its group at once, and what left that within a moment.
public final class ForkLauncher: ProcessLauncher {
    private struct State {
        var running: Set<Int32> = []
        var isRetired = false
    }

    /// The type of what its processes print.
    public let contentType: String
    /// Whether a call is answered only when its process has ended.
    public let collectsOutput: Bool
    private let spec: ProcessSpec
    /// What the function's own environment says is not for its callers to change.
    private let ownNames: Set<String>
    private let spawner: ProcessSpawner
    private let marks: ProcessMarks
    private let takeErrors: @Sendable (Int32) -> Void
    private let state = Mutex(State())

    /// Makes a launcher of processes as specified, all of whose streams are piped whatever the specification says.
    ///
    /// `takeErrors` gets, and closes, the end to read a process's standard error from when there is something in it: one
    /// for each process, so that their lines do not mix. It is called on a thread of the spawner and must not wait.
    public init(
        spec: ProcessSpec,
        contentType: String,
        collectsOutput: Bool = false,
        spawner: ProcessSpawner,
        marks: ProcessMarks,
        takeErrors: @escaping @Sendable (Int32) -> Void
    ) {
        var spec = spec
        spec.streams = .allPiped
        self.spec = spec
        ownNames = Set(spec.environment.map { $0.name })
        self.contentType = contentType
        self.collectsOutput = collectsOutput
        self.spawner = spawner
        self.marks = marks
        self.takeErrors = takeErrors
    }

    /// See the contract's `launch`.
    public func launch(
        requestVariables: [(name: String, value: String)],
        started: @escaping @Sendable (Result<LaunchedProcess, ProcessLaunchError>) -> Void,
        ended: @escaping @Sendable (ProcessEnd) -> Void
    ) {
        let mark = marks.issue()
        var spec = spec
        spec.environment += requestVariables.filter { !ownNames.contains($0.name) }
        spec.mark = mark
        let processID = Atomic32()
        spawner.start(
            spec,
            started: { [self] outcome in
                switch outcome {
                case .failure(let error):
                    marks.withdraw(mark)
                    started(.failure(ProcessLaunchError(message: error.message)))
                case .success(let process):
                    processID.store(process.processID)
                    if let errors = process.standardError { spawner.whenReadable(errors, takeErrors) }
                    started(launched(process))
                    note(process)
                }
            },
            ended: { [self] exit in
                state.withLock { _ = $0.running.remove(processID.load()) }
                marks.withdraw(mark)
                // One that was killed, by its deadline or by its caller's leaving, may have been busy starting others.
                if case .signalled = exit { marks.endStrays() } else { marks.endStraysLater() }
                ended(exit.asProcessEnd)
            }
        )
    }

    /// One that was on its way when the launcher was retired ends now.
    private func note(_ process: StartedProcess) {
        let isRetired = state.withLock { state in
            state.running.insert(process.processID)
            return state.isRetired
        }
        if isRetired { spawner.signalGroup(of: process.processID, SIGKILL) }
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

    /// Ends what still runs, and what is still being started.
    public func retire() {
        let running = state.withLock { state in
            state.isRetired = true
            return state.running
        }
        for processID in running { spawner.signalGroup(of: processID, SIGKILL) }
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
