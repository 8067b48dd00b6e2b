// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import HTTPTypes
import Hummingbird
import ProviderContract

/// `/system/functions`, `/system/function/{name}`, `/system/scale-function/{name}` (contract §8).
struct FunctionRoutes: Sendable {
    let provider: any FunctionProvider
    let namespace: NamespaceChoice
    let invocationCount: @Sendable (FunctionID) -> Double
    let awaitCallable: @Sendable (FunctionID) async -> Void
    let contact: ProviderContact

    func addRoutes(to routes: inout RouteList) {
        routes.add(.listFunctions, list)
        routes.add(.createFunction, create)
        routes.add(.updateFunction, update)
        routes.add(.deleteFunction, delete)
        routes.add(.showFunction, status)
        routes.add(.restartFunction, restart)
        routes.add(.scaleFunction, scale)
    }

    /// §8.3.
    @Sendable private func list(_ request: Request, _ context: SystemContext) async throws -> Response {
        let namespace = namespace.of(request)
        let functions = try await dated { () throws(PlatformFault) in try await provider.functions(in: namespace) }
        return try JSONBody.response(functions.map(counted))
    }

    /// §8.4.
    @Sendable private func status(_ request: Request, _ context: SystemContext) async throws -> Response {
        let wantsUsage = isOn("usage", request)
        let id = try namespace.function(request, context)
        let status = try await dated { () throws(PlatformFault) in
            try await provider.function(id, includingUsage: wantsUsage)
        }
        return try JSONBody.response(counted(status))
    }

    /// §8.5.
    @Sendable private func create(_ request: Request, _ context: SystemContext) async throws -> Response {
        let spec = try await spec(request)
        try await provider.create(spec)
        await awaitCallable(spec.id)
        return .empty(.accepted)
    }

    /// §8.6.
    ///
    /// Errors reach the client (§28). An equal deployment is told by a field, since clients want 202; `force=true` makes
    /// a new revision of it too.
    @Sendable private func update(_ request: Request, _ context: SystemContext) async throws -> Response {
        let outcome = try await provider.update(spec(request), forced: isOn("force", request))
        return .empty(.accepted, outcome == .unchanged ? (UpdateOutcome.field, "true") : nil)
    }

    /// Ours: the newest revision once more.
    @Sendable private func restart(_ request: Request, _ context: SystemContext) async throws -> Response {
        try await provider.restart(try namespace.function(request, context))
        return .empty(.accepted)
    }

    /// §8.7.
    @Sendable private func delete(_ request: Request, _ context: SystemContext) async throws -> Response {
        let body = try await JSONBody.decode(DeleteFunctionRequest.self, from: request)
        let id = FunctionID(name: body.functionName, namespace: namespace.of(request, body: body.namespace))
        try NameRule.checkFunction(id.name)
        try await provider.delete(id)
        return .empty(.accepted)
    }

    /// §8.8, §29: the count is required, and a name that disagrees with the path is refused.
    @Sendable private func scale(_ request: Request, _ context: SystemContext) async throws -> Response {
        let body = try await JSONBody.decode(ScaleFunctionRequest?.self, from: request)
        let id = try namespace.function(request, context, body: body?.namespace)
        guard let replicas = body?.replicas, (0...Int(Int32.max)).contains(replicas) else {
            throw PlatformFault(
                .invalidValue,
                "The number of replicas is missing or out of range.",
                hint: "Send {\"serviceName\": \"\(NameRule.printable(id.name))\", \"replicas\": 1}, 0 to \(Int32.max)."
            )
        }
        if let name = body?.serviceName, !name.isEmpty, name != id.name {
            throw PlatformFault(
                .invalidValue,
                "The body names \(NameRule.printable(name)), the path \(NameRule.printable(id.name))."
            )
        }
        try await provider.checkPossible(replicas: replicas)
        let isLeast = body?.isLeast == true
        let accepted = try await isLeast ? provider.wake(id, atLeast: replicas) : provider.scale(id, to: replicas)
        return .empty(.accepted, (ScaleFunctionRequest.acceptedField, "\(accepted)"))
    }

    private func isOn(_ name: String, _ request: Request) -> Bool {
        request.uri.queryParameters[name[...]].map { ["1", "true"].contains($0) } ?? false
    }

    /// The one place where a deployment that somebody sends is parsed.
    private func spec(_ request: Request) async throws -> FunctionSpec {
        var deployment = try await JSONBody.decode(FunctionDeployment.self, from: request)
        deployment.namespace = namespace.of(request, body: deployment.namespace)
        return try FunctionSpec(deployment)
    }

    private func counted(_ status: FunctionStatus) -> FunctionStatus {
        var status = status
        status.invocationCount = invocationCount(status.id)
        if let loss = contact.loss(), status.martlet?.reason.isEmpty == true { status.martlet?.reason = loss.words }
        return status
    }

    /// A provider may be lost while it is asked.
    private func dated<Value>(_ ask: () async throws(PlatformFault) -> Value) async throws(PlatformFault) -> Value {
        do throws(PlatformFault) { return try await ask() } catch { throw contact.dated(error) }
    }
}
