// SPDX-License-Identifier: Apache-2.0

public import FunctionModel
import HTTPTypes
import Hummingbird
public import ProviderContract

/// `GET /system/scaling/{name}`: the autoscaler's last decisions and why (martlet-api "Scaling").
public struct ScalingRoutes: Sendable {
    private let provider: any FunctionProvider
    private let namespace: NamespaceChoice
    private let describe: (@Sendable (FunctionID) async -> ScalingDescription?)?

    /// Describes the route; `describe` is nil where no autoscaler runs.
    public init(
        provider: any FunctionProvider,
        defaultNamespace: String,
        describe: (@Sendable (FunctionID) async -> ScalingDescription?)?
    ) {
        self.provider = provider
        namespace = NamespaceChoice(fallback: defaultNamespace)
        self.describe = describe
    }

    /// Adds the route.
    package func addRoutes(to routes: inout RouteList) {
        routes.add(.showScaling, show)
    }

    @Sendable private func show(_ request: Request, _ context: SystemContext) async throws -> Response {
        let id = try namespace.function(request, context)
        if let description = await describe?(id) { return try JSONBody.response(description) }
        return try JSONBody.response(unscaled(try await provider.function(id, includingUsage: false)))
    }

    /// A function that nobody looks after, and why.
    private func unscaled(_ status: FunctionStatus) -> ScalingDescription {
        let spec = FunctionSpec(received: status)
        let rules = spec.scaling.rules
        return ScalingDescription(
            function: status.id.description,
            mode: rules?.mode.name ?? "none",
            min: spec.scaling.min,
            max: spec.scaling.max,
            target: rules?.target,
            proportion: rules?.proportion,
            current: status.replicas,
            desired: status.replicas,
            frozen: true,
            reason: reason(ScalingRules.apply(labels: spec.labels, annotations: spec.annotations))
        )
    }

    private func reason(_ hasLabels: Bool) -> String {
        guard hasLabels else {
            return "It has no label of the autoscaler (com.openfaas.scale.type and others): alerts and people scale it."
        }
        guard describe == nil else { return "The autoscaler has not looked at it yet." }
        return "The autoscaler of this gateway is switched off (--autoscaler true starts it)."
    }
}
