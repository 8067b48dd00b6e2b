// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Testing

@testable import FunctionModel

struct ContainerRunTests {
    private func contained(
        _ variables: [String: String] = [:],
        annotations: [String: String] = [:],
        image: [String: String] = [:]
    ) throws -> (spec: FunctionSpec, run: ContainerRun) {
        let deployment = FunctionDeployment(
            service: "echo",
            image: "team/echo:1",
            envVars: variables,
            annotations: annotations
        )
        return try FunctionSpec(deployment).contained(in: ImageDefaults(environment: image))
    }

    @Test func `an image that says nothing listens on 8080, and nothing is known of how long its calls take`() throws {
        let (spec, run) = try contained()
        #expect(run.port == 8080 && spec.calls.deadline == nil && spec.calls.maxInFlight == nil)
        #expect(run.gracePeriod == .seconds(10) && run.startTimeout == .seconds(60) && run.liveness == nil)
        #expect(spec.run.environment.isEmpty, "the image's variables are the engine's affair")
    }

    @Test func `a deployment says more than its image, even by an empty variable`() throws {
        let image = ["exec_timeout": "5s", "max_inflight": "7", "port": "9000", "ready_path": "/up"]
        let (spec, run) = try contained(image: image)
        #expect(spec.calls.deadline == .seconds(5) && spec.calls.maxInFlight == 7)
        #expect(run.port == 9000 && run.readiness.path == "/up" && !run.readiness.acceptsAnyStatus)
        let own = try contained(["exec_timeout": "1m", "max_inflight": ""], image: image)
        #expect(own.spec.calls.deadline == .seconds(60) && own.spec.calls.maxInFlight == nil)
        #expect(try contained(["exec_timeout": "0"], image: image).spec.calls.deadline == nil)
    }

    @Test func `what a foreign image means by the same names fails nothing`() throws {
        let image = ["exec_timeout": "soon", "max_inflight": "-3", "port": "http", "mode": "fast", "ready_path": ""]
        let (spec, run) = try contained(image: image)
        #expect(spec.calls.deadline == nil && run.port == 8080)
    }

    @Test func `the annotation of the port goes before the variable`() throws {
        #expect(try contained(["port": "9000"]).run.port == 9000)
        #expect(try contained(["port": "9000"], annotations: ["com.martlet.port": "80"]).run.port == 80)
        #expect(throws: PlatformFault.self) { try contained(annotations: ["com.martlet.port": "0"]) }
        #expect(throws: PlatformFault.self) { try contained(["port": "65536"]) }
    }

    @Test func `a watchdog is asked whether it is ready, any other server for an answer of whatever kind`() throws {
        let watchdog = try contained(image: ["fprocess": "node index.js", "mode": "http"]).run.readiness
        #expect(watchdog.path == "/_/ready" && !watchdog.acceptsAnyStatus)
        for image in [["fprocess": "cat"], ["mode": "http"], [:]] {
            let other = try contained(image: image).run.readiness
            #expect(other.path == "/_/health" && other.acceptsAnyStatus, "\(image)")
        }
        #expect(watchdog.period == .milliseconds(10))
        let own = try contained(annotations: [
            "com.openfaas.ready.http.path": "/ok", "com.openfaas.ready.http.periodSeconds": "2s",
        ])
        #expect(own.run.readiness.path == "/ok" && own.run.readiness.period == .seconds(2))
    }

    @Test(arguments: PullPolicy.allCases)
    func `an annotation says when the image is pulled`(policy: PullPolicy) throws {
        #expect(try contained(annotations: ["com.martlet.image.pull": policy.rawValue]).spec.run.pullPolicy == policy)
        #expect(throws: PlatformFault.self) {
            try contained(annotations: ["com.martlet.image.pull": policy.rawValue.lowercased()])
        }
    }
}
