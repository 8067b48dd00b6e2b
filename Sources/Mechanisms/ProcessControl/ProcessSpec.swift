// SPDX-License-Identifier: Apache-2.0

/// How to start a process.
public struct ProcessSpec: Sendable {
    /// Where standard input comes from, and where what the process writes goes.
    public enum Streams: Sendable {
        /// Input and output are pipes of ours; what goes to standard error goes to a descriptor.
        case piped(errorDescriptor: Int32)
        /// Input, output and errors are pipes of ours (fork modes, whose processes' lines must not mix).
        case allPiped
        /// Input is empty; output and errors go to a descriptor (long-lived servers).
        case combined(descriptor: Int32)
        /// Input is empty; output and errors go to a descriptor each.
        case captured(output: Int32, errors: Int32)
    }

    /// A folder shown read-only elsewhere, to this process alone.
    public struct PrivateMount: Sendable {
        /// The folder.
        public var source: String
        /// Where it is shown; exists.
        public var target: String

        /// Makes a mount.
        public init(source: String, target: String) {
            self.source = source
            self.target = target
        }
    }

    /// The program, looked up in the environment's `PATH` unless it has a slash, and its arguments.
    public var arguments: [String]
    /// All variables; nothing is inherited.
    public var environment: [(name: String, value: String)]
    /// The folder to start in.
    public var workingDirectory: String
    /// Its standard streams.
    public var streams: Streams
    /// The control group to start in.
    public var controlGroup: ControlGroup?
    /// A private mount, where the system allows it.
    public var mount: PrivateMount?
    /// By which what the process starts is found again; in its environment and besides.
    public var mark: ProcessMarks.Mark?

    /// Makes a specification.
    public init(
        arguments: [String],
        environment: [(name: String, value: String)],
        workingDirectory: String,
        streams: Streams,
        controlGroup: ControlGroup? = nil,
        mount: PrivateMount? = nil
    ) {
        self.arguments = arguments
        self.environment = environment
        self.workingDirectory = workingDirectory
        self.streams = streams
        self.controlGroup = controlGroup
        self.mount = mount
    }
}

/// A process that was started.
public struct StartedProcess: Sendable {
    /// Its id, which is its group's too.
    public let processID: Int32
    /// Write end of its standard input, non-blocking; only with piped streams.
    ///
    /// The receiver closes it.
    public let standardInput: Int32?
    /// Read end of its standard output, non-blocking; only with piped streams.
    ///
    /// The receiver closes it.
    public let standardOutput: Int32?
    /// Read end of its standard error, non-blocking; only where all streams are piped.
    ///
    /// The receiver closes it.
    public let standardError: Int32?
}

/// How a process ended.
public enum ProcessExit: Sendable, Equatable {
    /// It ended itself with a code, 0 to 255.
    case exited(Int32)
    /// A signal ended it.
    case signalled(Int32)
}

/// Why a process was not started.
public struct SpawnError: Error, Sendable, Equatable {
    /// The system's number.
    public let code: Int32
    /// A sentence as Go words it: `fork/exec /x: no such file or directory`.
    public let message: String
}
