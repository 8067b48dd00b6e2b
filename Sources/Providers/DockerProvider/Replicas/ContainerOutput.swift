// SPDX-License-Identifier: Apache-2.0

import DockerEngineClient
import FunctionModel
import FunctionProcesses
import NIOCore
import ReplicaSupervision
import Synchronization

/// What one container prints, which goes into its function's log for as long as it prints.
///
/// The engine keeps what was printed while it was not heard: reading goes on behind what was read last.
final class ContainerOutput: Sendable {
    private struct State {
        var reading: Task<Void, Never>?
        var lastTime: Timestamp?
    }

    private let engine: DockerEngine
    private let container: String
    private let log: FunctionLog
    private let replica: String
    private let lineLimit: Int?
    private let state = Mutex(State())

    /// The last words of a container come after its end.
    private static let patience = Duration.seconds(2)

    init(engine: DockerEngine, container: String, log: FunctionLog, replica: String, lineLimit: Int?) {
        self.engine = engine
        self.container = container
        self.log = log
        self.replica = replica
        self.lineLimit = lineLimit
    }

    /// Reads until the container ends or the engine is not heard any more; nothing where it reads already.
    func read() {
        state.withLock { state in
            guard state.reading == nil else { return }
            // Ends with the container, with the engine, or by `end`.
            state.reading = Task { [self] in
                await follow()
                self.state.withLock { $0.reading = nil }
            }
        }
    }

    /// Returns when all has been read, or no more can be waited for.
    func end() async {
        guard let reading = state.withLock({ $0.reading }) else { return }
        await withTaskGroup(of: Void.self) { tasks in
            tasks.addTask { await reading.value }
            tasks.addTask {
                try? await Task.sleep(for: Self.patience)
                reading.cancel()
            }
            await tasks.next()
            tasks.cancelAll()
        }
    }

    private func follow() async {
        var assemblers: [LogFrame.Stream: LineAssembler] = [:]
        do {
            let since = state.withLock { $0.lastTime }
            for try await frame in try await engine.logs(container, LogWindow(since: since, follow: true)) {
                var assembler = assemblers[frame.stream] ?? LineAssembler(limit: lineLimit)
                assembler.add(frame.bytes)
                await print(&assembler)
                assemblers[frame.stream] = assembler
                if let time = frame.time { state.withLock { $0.lastTime = time } }
            }
        } catch {
            // The engine is not heard, which its watch tells; or the container is gone.
        }
        for var assembler in assemblers.values { await print(&assembler, isLast: true) }
    }

    private func print(_ assembler: inout LineAssembler, isLast: Bool = false) async {
        var lines: [String] = []
        while let line = assembler.next(isLast: isLast) { lines.append(line) }
        if !lines.isEmpty { await log.write(lines, replica: replica) }
    }
}
