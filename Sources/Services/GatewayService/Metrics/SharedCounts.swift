// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import Logging
import PrometheusClient
import Synchronization

/// How often functions were called through all gateways together, as Prometheus knows it.
///
/// Asked for in the background, so that a list of functions never waits for Prometheus. While it does not answer there
/// are no shared counts, and each gateway shows its own.
final class SharedCounts: Sendable {
    private let prometheus: PrometheusClient
    private let logger: Logger
    private let counts = Mutex<[FunctionID: Double]>([:])
    /// Beyond it a number is no count.
    private static let tooMany = 9e15
    private static let interval = Duration.seconds(5)
    private static let expression = "sum by (function_name) (gateway_function_invocation_total)"

    init(prometheus: PrometheusClient, logger: Logger) {
        self.prometheus = prometheus
        self.logger = logger
    }

    /// What Prometheus last knew of a function; 0 where it knows nothing.
    func count(of id: FunctionID) -> Double { counts.withLock { $0[id] ?? 0 } }

    /// Asks again and again until the task is cancelled.
    func run() async {
        var isReachable = true
        repeat {
            do throws(PlatformFault) {
                take(try await prometheus.query(Self.expression))
                isReachable = true
            } catch {
                if isReachable { logger.warning("counts are this gateway's own", metadata: ["why": "\(error)"]) }
                isReachable = false
                counts.withLock { $0 = [:] }
            }
        } while (try? await Task.sleep(for: Self.interval)) != nil
    }

    private func take(_ samples: [PrometheusClient.Sample]) {
        var known: [FunctionID: Double] = [:]
        for sample in samples {
            let name = sample.labels["function_name"] ?? ""
            if let id = FunctionID(address: name, defaultNamespace: ""), (0..<Self.tooMany).contains(sample.value) {
                known[id] = sample.value
            }
        }
        counts.withLock { $0 = known }
    }
}
