// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import Testing

@testable import DockerProvider

struct DeploymentRulesTests {
    private static func deployment(_ change: (inout FunctionDeployment) -> Void) -> FunctionDeployment {
        var deployment = FunctionDeployment(service: "echo", image: "team/echo:1")
        change(&deployment)
        return deployment
    }

    private static let refused: [(String, FunctionDeployment)] = [
        ("image", deployment { $0.image = "host" }),
        ("image", deployment { $0.image = "host:latest" }),
        ("constraints", deployment { $0.constraints = ["node.labels.zone==a"] }),
        ("limits.memory", deployment { $0.limits = FunctionResources(memory: "5Mi") }),
        ("requests.memory", deployment { $0.requests = FunctionResources(memory: "1Mi") }),
        ("limits.cpu", deployment { $0.limits = FunctionResources(cpu: "1m") }),
        ("limits.cpu", deployment { $0.limits = FunctionResources(cpu: "3") }),
        ("requests.cpu", deployment { $0.requests = FunctionResources(cpu: "2001m") }),
        ("limits.amd.com/gpu", deployment { $0.limits = FunctionResources(gpus: ["amd.com/gpu": "1"]) }),
        (
            "requests.memory",
            deployment {
                $0.limits = FunctionResources(memory: "64Mi")
                $0.requests = FunctionResources(memory: "65Mi")
            }
        ),
        (
            "requests.cpu",
            deployment {
                $0.limits = FunctionResources(cpu: "100m")
                $0.requests = FunctionResources(cpu: "200m")
            }
        ),
    ]

    @Test(arguments: refused.indices)
    func `what one engine cannot do is refused by the field's name`(index: Int) throws {
        let (field, deployment) = Self.refused[index]
        let spec = try FunctionSpec(deployment)
        #expect {
            try DeploymentRules(cores: 2).check(spec)
        } throws: {
            let fault = $0 as? PlatformFault
            return fault?.code == .invalidValue && fault?.message.hasPrefix(field) == true
        }
    }

    @Test func `everything else is taken`() throws {
        let deployment = Self.deployment {
            $0.limits = FunctionResources(memory: "6Mi", cpu: "2", gpus: ["nvidia.com/gpu": "2", "amd.com/gpu": "0"])
            $0.requests = FunctionResources(memory: "6Mi", cpu: "10m")
            $0.constraints = []
        }
        try DeploymentRules(cores: 2).check(try FunctionSpec(deployment))
    }
}
