// SPDX-License-Identifier: Apache-2.0

import GatewayService
import NIOCore
import NIOPosix
import ProcessControl
import ServiceLifecycle

/// A program that serves until it is told to stop.
struct ServingProgram: Sendable {
    let limits: LimitSettings
    let log: PlatformLog
    let signals: TerminationSignals
    let stopping: Stopping
    /// Reached when the program is to end.
    let end = Milestone<End>()
    let group: any EventLoopGroup

    /// Why it ends.
    enum End: Sendable {
        /// SIGINT or SIGTERM.
        case signal
        /// Another process does its work from now on.
        case replaced(by: Int32)
    }

    /// Makes the process ready to serve; before anything else of it begins.
    init(_ limits: LimitSettings, log: PlatformLog) {
        ResourceBounds.prepare()
        self.limits = limits
        self.log = log
        signals = TerminationSignals()
        signals.onFirst { [end] in end.reach(.signal) }
        stopping = Stopping(limit: limits.drainTimeout)
        // Ends with the process: nothing of the loops needs more care than that.
        group = MultiThreadedEventLoopGroup(numberOfThreads: System.coreCount)
    }

    /// What `work` comes to, which is cancelled when the program is to end; nil then.
    func untilEnd<Value: Sendable>(_ work: @escaping @Sendable () async -> Value?) async -> Value? {
        await withTaskGroup(of: Value?.self) { tasks in
            tasks.addTask { await work() }
            tasks.addTask { [end] in
                _ = await end.reached()
                return nil
            }
            let value = await tasks.next() ?? nil
            tasks.cancelAll()
            return value
        }
    }

    /// Runs services, each of which needs those before it, until the first SIGINT or SIGTERM, or until one fails; then they
    /// end in the opposite order.
    ///
    /// `lastWords` are said when the end begins. - Throws: what a service threw.
    func run(_ services: [any Service], lastWords: String? = nil) async throws {
        let end = StopService(program: self, lastWords: lastWords)
        let all = services + [end]
        let group = ServiceGroup(
            configuration: ServiceGroupConfiguration(
                services: all.map {
                    ServiceGroupConfiguration.ServiceConfiguration(
                        service: $0,
                        successTerminationBehavior: .gracefullyShutdownGroup,
                        failureTerminationBehavior: .gracefullyShutdownGroup,
                        serviceName: "\(type(of: $0))"
                    )
                },
                logger: log.logger
            )
        )
        try await group.run()
    }
}

/// Ends the program at the first signal; the next one ends it at once.
private struct StopService: Service {
    let program: ServingProgram
    let lastWords: String?

    func run() async {
        let why = await program.end.reached()
        program.stopping.begin()
        switch why {
        case .replaced(let process):
            program.log.warn("\nProcess \(process) serves from now on; calls in flight end here.")
        case .signal:
            ServiceNotification.stopping()
            if let lastWords { program.log.warn(lastWords) }
        case nil:
            // A service has failed.
            ServiceNotification.stopping()
        }
        program.signals.endAtNext()
    }
}
