// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import FunctionProcesses
import Glibc
import NIOCore
import ProcessControl
import ProviderContract

/// The function's server of mode `http`: started once, watched until it listens, ended with the watchdog.
final class ServerChild: Sendable {
    private let settings: WatchdogSettings
    private let upstream: Upstream
    private let spawner: ProcessSpawner
    private let mark: ProcessMarks.Mark
    private let loop: any EventLoop
    private let log: WatchdogLog
    /// How it ended, in Go's words.
    let ended = Outcome<String>()

    init(
        _ settings: WatchdogSettings,
        _ upstream: Upstream,
        spawner: ProcessSpawner,
        mark: ProcessMarks.Mark,
        loop: any EventLoop,
        log: WatchdogLog
    ) {
        self.settings = settings
        self.upstream = upstream
        self.spawner = spawner
        self.mark = mark
        self.loop = loop
        self.log = log
    }

    /// Starts it; `whenListening` is called on the loop, once, when it accepts connections.
    ///
    /// - Throws: why it could not be started.
    func start(whenListening: @escaping @Sendable () -> Void) async throws(SpawnError) -> Int32 {
        let output = try log.openPipe(for: .output, on: loop)
        let errors: Int32
        do throws(SpawnError) { errors = try log.openPipe(for: .errors, on: loop) } catch {
            close(output)
            throw error
        }
        var spec = ProcessSpec(
            arguments: settings.command,
            environment: settings.environment.map { ($0.key, $0.value) },
            workingDirectory: ".",
            streams: .captured(output: output, errors: errors)
        )
        spec.mark = mark
        defer {
            close(output)
            close(errors)
        }
        let process = try await spawner.start(spec) { [ended] in ended.resolve($0.asProcessEnd.description) }
        loop.execute { [loop, upstream] in
            ReadinessProbe(upstream.address, probe: .init(), on: loop, whenReady: whenListening).start()
        }
        return process.processID
    }

    /// Ends it: politely, after a while by force.
    func stop(_ processID: Int32, within limit: Duration) async {
        spawner.signalGroup(of: processID, SIGTERM)
        let force = loop.scheduleTask(in: TimeAmount(limit)) { [spawner] in
            spawner.signalGroup(of: processID, SIGKILL)
        }
        _ = await ended.value()
        force.cancel()
    }
}
