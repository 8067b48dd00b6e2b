// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionBuilder
import FunctionModel
import GatewayService
import NIOCore

/// What `martlet up` prints when it is ready.
struct StartText {
    let text: String

    init(
        _ settings: PlatformSettings,
        _ addresses: Gateway.Addresses,
        limitsAreEnforced: Bool,
        stack: StackFile?,
        queueProblem: PlatformFault?
    ) {
        let listeners = settings.listeners
        let url = listeners.url(of: .functions, port: addresses.api?.port ?? 0)
        let management = listeners.url(of: .management, port: addresses.management?.port ?? 0)
        var lines = ["", "Martlet \(Release.number) is ready at \(url)", ""]
        if management != url { lines.append("  Manage    \(management)") }
        if let socket = settings.listeners.socket { lines.append("  Socket    \(socket.path)") }
        if let page = addresses.page?.port {
            lines.append("  Page      \(listeners.url(of: .page, port: page))")
        }
        if let metrics = addresses.metrics?.port {
            lines.append("  Metrics   \(listeners.url(of: .metrics, port: metrics))")
        }
        if settings.access.requiresCredentials {
            let password = settings.credentials.passwordPath
            lines.append("  Password  \(password) (user admin)")
            lines.append("  Log in    faas-cli login -g \(management) --password-stdin < \(password)")
        } else {
            lines.append("  Password  none is needed: everybody who reaches this address may manage functions")
        }
        if let function = stack?.functions.first {
            lines.append("  Try       curl \(url)/function/\(function.name)")
        } else {
            let image = settings.provider.kind == .docker ? "ghcr.io/openfaas/alpine:latest" : "host"
            lines.append("  Try       martlet deploy env --image \(image) --fprocess env && curl \(url)/function/env")
        }
        lines.append("")
        lines.append(Self.rights(settings.provider.kind))
        if !limitsAreEnforced {
            lines.append(
                settings.provider.kind == .docker
                    ? "Limits: the Docker engine does not enforce all of them: martlet doctor"
                    : "Limits: memory is watched, CPU is not enforced (no writable control groups)."
            )
        }
        for host in Self.open(listeners) {
            lines.append("Warning: \(host) can be reached from elsewhere, and nothing is encrypted (no TLS).")
        }
        if let queueProblem { lines.append("Warning: asynchronous calls get 503: \(queueProblem.message)") }
        text = lines.joined(separator: "\n") + "\n"
    }

    /// Whose rights functions have.
    static func rights(_ kind: ProviderSettings.Kind) -> String {
        kind == .docker
            ? "Functions run as containers without privileges."
            : "Functions run with the rights of this user: deploy only what you trust."
    }

    /// The addresses on which passwords come unencrypted from elsewhere.
    private static func open(_ listeners: ListenerSettings) -> [String] {
        guard listeners.tlsFiles == nil else { return [] }
        let hosts = listeners.pagePort == nil || listeners.pageHost == listeners.host ? [] : [listeners.pageHost]
        return ([listeners.host] + hosts).filter { !ListenerSettings.isOnlyHere($0) }
    }
}
