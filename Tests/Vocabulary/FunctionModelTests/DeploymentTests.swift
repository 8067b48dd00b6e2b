// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import Testing

struct DeploymentTests {
    private let plain = FunctionDeployment(service: "fn", image: "host", envProcess: "cat")

    @Test func `what is empty asks for the same as what is absent, and the name's label for nothing`() {
        var other = plain
        (other.namespace, other.envVars, other.constraints, other.secrets) = ("", [:], [], [])
        (other.annotations, other.limits, other.requests) = ([:], FunctionResources(memory: ""), FunctionResources())
        (other.labels, other.readOnlyRootFilesystem) = (["faas_function": "fn"], false)
        #expect(other != plain && other.asksForTheSame(as: plain) && plain.asksForTheSame(as: other))
        #expect(other.asWritten.labels == [:])
    }

    @Test(
        arguments: [
            { $0.image = "other" }, { $0.envProcess = nil }, { $0.envVars = ["a": ""] }, { $0.constraints = [""] },
            { $0.secrets = ["key"] }, { $0.labels = ["a": "b", "faas_function": "fn"] },
            { $0.annotations = ["a": "b"] },
            { $0.limits = FunctionResources(cpu: "1") }, { $0.requests = FunctionResources(memory: "1Mi") },
            { $0.readOnlyRootFilesystem = true }, { $0.namespace = "team" }, { $0.service = "gn" },
        ] as [@Sendable (inout FunctionDeployment) -> Void]
    )
    func `any other difference asks for something else`(change: @Sendable (inout FunctionDeployment) -> Void) {
        var other = plain
        change(&other)
        #expect(!other.asksForTheSame(as: plain))
    }
}
