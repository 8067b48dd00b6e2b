// SPDX-License-Identifier: Apache-2.0

import FunctionModel

/// Starts a process for each call of a function in a fork mode (contract §15.4).
public protocol ProcessLauncher: Sendable {
    /// The type of what the process prints, unless it says otherwise.
    var contentType: String { get }
    /// Whether what the process prints is answered only when it has ended (mode `serializing`).
    var collectsOutput: Bool { get }

    /// Starts a process with the function's environment and these variables besides.
    ///
    /// Returns at once; `started` is called once, on any thread, with the process or with why there is none.
    /// `ended` is called once after `started` succeeded, on any thread, when the process has been reaped.
    func launch(
        requestVariables: [(name: String, value: String)],
        started: @escaping @Sendable (Result<LaunchedProcess, ProcessLaunchError>) -> Void,
        ended: @escaping @Sendable (ProcessEnd) -> Void
    )
}

/// A process that was started for a call.
///
/// The receiver owns and closes both descriptors.
public struct LaunchedProcess: Sendable {
    /// The process, which leads a group of its own.
    public var processID: Int32
    /// Write end of the process's standard input; non-blocking.
    public var standardInput: Int32
    /// Read end of the process's standard output; non-blocking.
    public var standardOutput: Int32
    /// Ends the process and its group at once (SIGKILL); harmless when it has ended.
    public var kill: @Sendable () -> Void

    /// Describes a started process.
    public init(
        processID: Int32,
        standardInput: Int32,
        standardOutput: Int32,
        kill: @escaping @Sendable () -> Void
    ) {
        self.processID = processID
        self.standardInput = standardInput
        self.standardOutput = standardOutput
        self.kill = kill
    }
}

/// Why a process could not be started, as of-watchdog words it: `fork/exec /x: no such file or directory`.
public struct ProcessLaunchError: Error, Sendable {
    /// The sentence.
    public var message: String

    /// Makes an error.
    public init(message: String) { self.message = message }
}

/// How a process ended.
public enum ProcessEnd: Sendable, Equatable {
    /// It ended itself with a code, 0 to 255.
    case exited(Int32)
    /// A signal ended it.
    case signalled(Int32)

    /// Whether it ended itself with code 0.
    public var isSuccess: Bool { self == .exited(0) }
}

extension ProcessEnd: CustomStringConvertible {
    /// As Go words it: `exit status 1`, `signal: killed` (contract §15.4).
    public var description: String {
        switch self {
        case .exited(let code): "exit status \(code)"
        case .signalled(9): "signal: killed"
        case .signalled(15): "signal: terminated"
        case .signalled(11): "signal: segmentation fault"
        case .signalled(6): "signal: aborted"
        case .signalled(let number): "signal: \(number)"
        }
    }
}
