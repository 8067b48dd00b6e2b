// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import ProviderContract

/// `POST /system/alert`: AlertManager's webhook (contract §12.4).
struct AlertRoutes: Sendable {
    let provider: any FunctionProvider
    let namespace: NamespaceChoice

    func addRoutes(to routes: inout RouteList) {
        routes.add(.alert, alert)
    }

    private struct Webhook: Decodable {
        struct Alert: Decodable {
            var status: String?
            var labels: [String: String]?
        }

        var alerts: [Alert]?
        /// Of all alerts together; of one that bears none of its own.
        var status: String?
    }

    @Sendable private func alert(_ request: Request, _ context: SystemContext) async throws -> Response {
        let webhook: Webhook?
        do {
            webhook = try await JSONBody.decode(Webhook?.self, from: request)
        } catch let fault as PlatformFault where fault.code == .malformedBody {
            throw PlatformFault(.malformedBody, "Unable to parse alert, bad format.")
        }
        var failures: [String] = []
        for alert in webhook?.alerts ?? [] {
            guard let address = alert.labels?["function_name"],
                let id = FunctionID(address: address, defaultNamespace: namespace.fallback)
            else { continue }
            do throws(PlatformFault) {
                try await scale(id, isFiring: (alert.status ?? webhook?.status) == "firing")
            } catch {
                switch error.code {
                // It concerns all of them: AlertManager tells them again.
                case .providerUnreachable: throw error
                // Telling it again would change nothing but the other functions of the message.
                case .invalidValue: context.logger.warning("an alert was refused", metadata: ["why": "\(error)"])
                default: failures.append("[\(failures.count)] \(error.message)\n")
                }
            }
        }
        guard failures.isEmpty else {
            return Response(
                status: .internalServerError,
                body: ResponseBody(byteBuffer: ByteBuffer(string: failures.joined()))
            )
        }
        return .empty(.ok)
    }

    /// Functions that are not there are skipped; those that carry labels of the autoscaler are its own business.
    private func scale(_ id: FunctionID, isFiring: Bool) async throws(PlatformFault) {
        let status: FunctionStatus
        do throws(PlatformFault) {
            status = try await provider.function(id, includingUsage: false)
        } catch {
            guard error.code != .functionNotFound else { return }
            throw error
        }
        guard let scaling = AlertScaling(status) else { return }
        var wanted = scaling.replicas(current: status.replicas, isFiring: isFiring)
        if provider.capabilities.lacks(.severalReplicas) { wanted = min(wanted, 1) }
        if wanted != status.replicas { try await provider.scale(id, to: wanted) }
    }
}

/// How many replicas an alert asks for (contract §12.4).
///
/// Pure.
struct AlertScaling: Equatable {
    var min: Int
    var max: Int
    /// Percent of `max` per step; 0 turns scaling off.
    var factor: Int

    init(min: Int, max: Int, factor: Int) {
        self.min = min
        self.max = max
        self.factor = factor
    }

    /// Nil for a function that the autoscaler looks after (martlet-api "Scaling").
    init?(_ status: FunctionStatus) {
        let spec = FunctionSpec(received: status)
        guard !ScalingRules.apply(labels: spec.labels, annotations: spec.annotations) else { return nil }
        self.init(min: spec.scaling.min, max: spec.scaling.max, factor: spec.scaling.factor)
    }

    func replicas(current: Int, isFiring: Bool) -> Int {
        guard factor > 0 else { return current }
        guard isFiring else { return min }
        let step = (max * Swift.min(factor, 100) + 99) / 100
        return Swift.min(Swift.min(current, max) + step, max)
    }
}
