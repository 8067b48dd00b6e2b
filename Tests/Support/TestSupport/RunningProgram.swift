// SPDX-License-Identifier: Apache-2.0

public import Foundation
import Glibc
import ProcessControl
import Synchronization

/// A program of ours that runs beside a test, and what it has printed so far.
public final class RunningProgram: Sendable {
    private struct State {
        var text = ""
        var hasEnded = false
    }

    /// The process's id.
    public let processID: Int32
    private let exit: Outcome<ProcessExit>
    private let state = Mutex(State())
    /// Its processes die with the tests, however those end.
    private static let spawner = ProcessSpawner(threads: 1)

    /// The folder of the programs, beside the test bundle.
    public static var folder: URL {
        let bundle = Bundle.allBundles.first { $0.bundlePath.hasSuffix(".xctest") } ?? Bundle.main
        let beside = bundle.bundleURL.deletingLastPathComponent()
        guard !FileManager.default.fileExists(atPath: beside.appendingPathComponent("martlet").path) else {
            return beside
        }
        return URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
    }

    /// Starts a program with exactly this environment.
    public init(_ arguments: [String], environment: [String: String], in folder: String = "/") async throws {
        let (output, input) = try ProcessPipe.open(blocks: true)
        let spec = ProcessSpec(
            arguments: arguments,
            environment: environment.map { ($0.key, $0.value) },
            workingDirectory: folder,
            streams: .combined(descriptor: input)
        )
        let exit = Outcome<ProcessExit>()
        do {
            defer { close(input) }
            processID = try await Self.spawner.start(spec) { exit.resolve($0) }.processID
        } catch {
            close(output)
            throw error
        }
        self.exit = exit
        // Reads on to the end, so that a full pipe never stops the program.
        NamedThread.start("program-output") { [self] in readAll(output) }
    }

    private func readAll(_ descriptor: CInt) {
        var room = [UInt8](repeating: 0, count: 16_384)
        while true {
            let count = read(descriptor, &room, room.count)
            // A program that is frozen, or goes on, sends its parent a signal.
            if count < 0, errno == EINTR { continue }
            state.withLock { state in
                state.text += String(decoding: room.prefix(max(0, count)), as: UTF8.self)
                state.hasEnded = count <= 0
            }
            if count <= 0 { break }
        }
        close(descriptor)
    }

    /// Everything that it has printed.
    public var output: String { state.withLock { $0.text } }

    /// Waits until it has printed a text; false when it ended without, or took too long.
    public func prints(_ text: String) async -> Bool {
        _ = await eventually { state.withLock { $0.hasEnded || $0.text.contains(text) } }
        return output.contains(text)
    }

    /// The number behind a text in the output; 0 when there is none.
    public func number(after text: String) -> Int {
        let output = output
        guard let start = output.range(of: text)?.upperBound else { return 0 }
        return Int(output[start...].prefix { $0.isNumber }) ?? 0
    }

    /// Sends a signal to it alone.
    public func signal(_ number: Int32) { Glibc.kill(processID, number) }

    /// Waits until it has ended and returns its exit code; that of a signal is negative.
    public func exitCode() async -> Int32 {
        switch await exit.value() {
        case .exited(let code): code
        case .signalled(let number): -number
        }
    }
}
