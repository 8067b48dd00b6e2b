// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Runs a program to its end and gathers what it printed: for builders and tests, not for functions.
///
/// The program dies with this process, as functions do.
public struct ProgramRun: Sendable {
    /// How it ended.
    public let exit: ProcessExit
    /// What it wrote to standard output.
    public let output: String
    /// What it wrote to standard error.
    public let error: String

    /// Whether it ended itself with code 0.
    public var isSuccess: Bool { exit == .exited(0) }

    private static let spawner = ProcessSpawner(threads: 1)

    /// Runs a program; the first argument is its name or path.
    ///
    /// Memory holds all of its output. Cancelled, it ends the program. - Throws: `SpawnError` when it cannot be started.
    public static func run(
        _ arguments: [String],
        environment: [String: String],
        in folder: String,
        input: [UInt8] = []
    ) async throws(SpawnError) -> ProgramRun {
        let (errorOutput, errorInput) = try ProcessPipe.open(blocks: true)
        let spec = ProcessSpec(
            arguments: arguments,
            environment: environment.map { ($0.key, $0.value) },
            workingDirectory: folder,
            streams: .piped(errorDescriptor: errorInput)
        )
        let exit = Outcome<ProcessExit>()
        let process: StartedProcess
        do throws(SpawnError) {
            defer { close(errorInput) }
            process = try await spawner.start(spec) { exit.resolve($0) }
        } catch {
            close(errorOutput)
            throw error
        }
        return await withTaskCancellationHandler {
            await run(process, errorOutput, exit, input)
        } onCancel: {
            spawner.signalGroup(of: process.processID, SIGKILL)
        }
    }

    private static func run(
        _ process: StartedProcess,
        _ errorOutput: Int32,
        _ exit: Outcome<ProcessExit>,
        _ input: [UInt8]
    ) async -> ProgramRun {
        // A program that reads less than it is given is no reason to die.
        signal(SIGPIPE, SIG_IGN)
        async let written: Void = onThread { Self.write(input, to: process.standardInput ?? -1) }
        async let output = onThread { Self.readToEnd(process.standardOutput ?? -1) }
        async let error = onThread { Self.readToEnd(errorOutput) }
        await written
        let texts = await (output, error)
        return ProgramRun(exit: await exit.value(), output: texts.0, error: texts.1)
    }

    private static func onThread<Value: Sendable>(_ work: @escaping @Sendable () -> Value) async -> Value {
        await withCheckedContinuation { continuation in
            NamedThread.start("program-run") { continuation.resume(returning: work()) }
        }
    }

    private static func write(_ bytes: [UInt8], to descriptor: Int32) {
        makeBlocking(descriptor)
        defer { close(descriptor) }
        // A program that reads no more has the right to.
        _ = bytes.withUnsafeBytes { SystemFile.writeAll($0, to: descriptor) }
    }

    private static func readToEnd(_ descriptor: Int32) -> String {
        makeBlocking(descriptor)
        defer { close(descriptor) }
        return String(decoding: SystemFile.bytes(of: descriptor) ?? [], as: UTF8.self)
    }

    private static func makeBlocking(_ descriptor: Int32) {
        _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) & ~O_NONBLOCK)
    }
}
