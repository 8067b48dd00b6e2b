// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import HTTPTypes
import Hummingbird
import InvocationEngine
import ProviderContract

/// `/system/info`, `/system/telemetry` (contract §12.1, §12.3).
struct InfoRoutes: Sendable {
    let provider: any FunctionProvider
    let version: ProviderInfo.Version
    let contact: ProviderContact

    func addRoutes(to routes: inout RouteList) {
        routes.add(.showInfo, info)
    }

    /// Always 200; a provider that cannot be reached is `null`.
    @Sendable private func info(_ request: Request, _ context: SystemContext) async throws -> Response {
        var told: ProviderInfo?
        do {
            try await contact.check()
            told = try await provider.info()
        } catch {}
        var info = SystemInfo(provider: told, version: version, arch: Self.architecture)
        info.lost = contact.loss().map { SystemInfo.Loss(since: $0.since, reason: $0.fault.message) }
        return try JSONBody.response(info)
    }

    #if arch(x86_64)
    private static let architecture = "x86_64"
    #elseif arch(arm64)
    private static let architecture = "arm64"
    #else
    private static let architecture = "unknown"
    #endif
}

/// `/healthz` (contract §12.2).
struct HealthRoutes: Sendable {
    let provider: any FunctionProvider

    func addRoutes(to routes: inout RouteList) {
        routes.add(.showHealth, health)
    }

    @Sendable private func health(_ request: Request, _ context: SystemContext) async throws -> Response {
        try await provider.checkHealth()
        return .empty(.ok)
    }
}
