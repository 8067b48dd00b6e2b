// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
import FunctionBuilder
import FunctionModel
import SystemClient

/// Builds and deploys functions, one after another; what fails does not stop the rest.
struct StackDeployment {
    let client: SystemClient
    /// The project's folder, for its templates.
    let folder: String
    /// Tells of progress, a line at a time.
    let report: (String) -> Void

    /// Builds and uploads a function's bundle; false where there is nothing to build.
    @discardableResult
    func build(_ function: StackFile.Function) async throws(PlatformFault) -> Bool {
        // Packages may take a while to come; somebody who watches should know what is being waited for.
        if isatty(STDOUT_FILENO) == 1, function.language?.isEmpty == false { report("\(function.name): building …") }
        guard let built = try await BundleBuilder(folder: folder).build(function) else { return false }
        let record = try await client.storeBundle(name: built.name, tag: built.tag, archive: built.archive)
        report("\(function.name): built \(record.name):\(record.tag)")
        return true
    }

    /// Updates a function, or makes it where there is none (contract §25.1).
    func deploy(_ deployment: FunctionDeployment, forced: Bool) async throws(PlatformFault) -> UpdateOutcome {
        do throws(PlatformFault) {
            return try await client.update(deployment, forced: forced)
        } catch {
            guard error.code == .functionNotFound || error.code == .notFound else { throw error }
            try await client.create(deployment)
            return .newRevision
        }
    }

    /// Waits until a function is ready or failing; its status then.
    ///
    /// Asked ten times a second at most.
    func awaitReady(_ name: String, _ namespace: String?, within limit: Duration) async throws -> FunctionStatus {
        let deadline = ContinuousClock.now + limit
        while true {
            let status = try await client.function(name, in: namespace)
            let isSettled = status.martlet.map { ["ready", "idle", "failing"].contains($0.state.rawValue) }
            if isSettled ?? (status.availableReplicas > 0) || ContinuousClock.now >= deadline { return status }
            try await Task.sleep(for: .milliseconds(20))
        }
    }

    /// Builds where asked, deploys all, then waits for them together, and gathers what failed.
    func carryOut(
        _ functions: [StackFile.Function],
        builds: Bool,
        namespace: String?,
        waits: Bool,
        forced: Bool = false
    ) async throws {
        var failures: [String] = []
        var deployed: [FunctionDeployment] = []
        for function in functions {
            do throws(PlatformFault) {
                if builds { try await build(function) }
                var deployment = function.deployment
                if let namespace { deployment.namespace = namespace }
                let outcome = try await deploy(deployment, forced: forced)
                report("\(function.name): \(outcome == .unchanged ? "unchanged" : "deployed")")
                deployed.append(deployment)
            } catch {
                // So would all the others.
                guard error.code != .unauthorized else { throw error }
                failures.append("\(function.name): \(error.message)" + (error.hint.map { "\n  \($0)" } ?? ""))
            }
        }
        for deployment in waits ? deployed : [] {
            let status = try await awaitReady(deployment.service, deployment.namespace, within: .seconds(60))
            if status.martlet?.state == .failing {
                failures.append("\(deployment.service): \(status.martlet?.reason ?? "failing")")
            } else {
                report("\(deployment.service): \(status.martlet?.state.rawValue ?? "ready") at \(url(of: deployment))")
            }
        }
        guard failures.isEmpty else {
            throw PlatformFault(.processFailed, failures.joined(separator: "\n"))
        }
    }

    private func url(of deployment: FunctionDeployment) -> String {
        let namespace = deployment.namespace.map { ".\($0)" } ?? ""
        return client.address(ofFunction: "\(deployment.service)\(namespace)")
    }
}
