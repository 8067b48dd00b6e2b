// SPDX-License-Identifier: Apache-2.0

import DockerEngineClient
import Foundation
import FunctionModel
import Testing

@testable import DockerProvider

struct ContainerPlanTests {
    private func plan(
        _ change: (inout FunctionDeployment) -> Void = { _ in },
        replica: String = "echo-1-1",
        image: [String] = []
    ) throws -> ContainerPlan {
        var deployment = FunctionDeployment(service: "echo", image: "team/echo:1")
        change(&deployment)
        let spec = try FunctionSpec(deployment)
        let revision = ContainerRevision(spec, number: 1, image: PinnedImage(id: "sha256:abc", variables: image))
        return ContainerPlan(
            identity: ContainerIdentity(
                instance: "3f2a91c0-5d1e",
                function: spec.id,
                revision: 1,
                replica: replica,
                generation: "even"
            ),
            revision: revision,
            surroundings: ContainerPlan.Surroundings(instance: "3f2a91c0-5d1e", publishAddress: "127.77.0.1"),
            secrets: spec.run.secrets.isEmpty ? nil : SecretFolder(path: "/data/containers/\(replica)")
        )
    }

    /// What the engine is sent.
    private func sent(_ plan: ContainerPlan) throws -> [String: Any] {
        let object = try JSONSerialization.jsonObject(with: JSONEncoder().encode(plan.config))
        return try #require(object as? [String: Any])
    }

    @Test func `a container is made of the pinned image, with nothing that it need not have`() throws {
        let sent = try sent(try plan())
        let host = try #require(sent["HostConfig"] as? [String: Any])
        #expect(sent["Image"] as? String == "sha256:abc" && sent["StopTimeout"] as? Int == 10)
        #expect(sent["Healthcheck"] as? [String: [String]] == ["Test": ["NONE"]])
        #expect((sent["ExposedPorts"] as? [String: Any])?.keys.sorted() == ["8080/tcp"])
        #expect(host["CapDrop"] as? [String] == ["ALL"] && host["Init"] as? Bool == true)
        #expect(host["SecurityOpt"] as? [String] == ["no-new-privileges"])
        #expect(host["RestartPolicy"] as? [String: String] == ["Name": "no"])
        let bindings = host["PortBindings"] as? [String: [[String: String]]]
        #expect(bindings == ["8080/tcp": [["HostIp": "127.77.0.1", "HostPort": ""]]])
        for absent in ["Memory", "MemorySwap", "NanoCpus", "PidsLimit", "ReadonlyRootfs", "Mounts", "DeviceRequests"] {
            #expect(host[absent] == nil, "\(absent)")
        }
    }

    @Test func `limits and requests are the engine's numbers, and swap is none`() throws {
        let plan = try plan {
            $0.limits = FunctionResources(memory: "64Mi", cpu: "500m", gpus: ["nvidia.com/gpu": "2"])
            $0.requests = FunctionResources(memory: "32Mi", cpu: "1m")
            $0.labels = ["com.martlet.limits.pids": "20"]
            $0.readOnlyRootFilesystem = true
        }
        let host = plan.config.host
        #expect(host.memory == 64 << 20 && host.memorySwap == host.memory && host.memoryReservation == 32 << 20)
        #expect(host.nanoCPUs == 500_000_000 && host.cpuShares == 2 && host.pidsLimit == 20)
        #expect(host.deviceRequests == [DeviceRequest(driver: "nvidia", count: 2, capabilities: [["gpu"]])])
        #expect(host.readonlyRootfs == true && host.tmpfs?["/tmp"]?.contains("exec") == true)
    }

    @Test func `the platform's variables stand below the deployment's`() throws {
        let variables = try plan {
            $0.envVars = ["OPENFAAS_NAME": "mine", "text": "a=b\n☃"]
            $0.envProcess = "node index.js"
        }.config.environment
        #expect(variables.contains("OPENFAAS_NAME=mine") && variables.contains("text=a=b\n☃"))
        #expect(variables.contains("fprocess=node index.js") && variables.contains("OPENFAAS_NAMESPACE=openfaas-fn"))
        #expect(!variables.contains { $0.hasPrefix("OPENFAAS_URL=") }, "nobody could be reached there")
        #expect(variables == variables.sorted())
    }

    @Test func `a watchdog lingers for a second, unless somebody has said how long`() throws {
        #expect(try plan().config.environment.contains("healthcheck_interval=1s"))
        let own = try plan { $0.envVars = ["healthcheck_interval": "5s"] }.config.environment
        #expect(own.contains("healthcheck_interval=5s") && !own.contains("healthcheck_interval=1s"))
        let image = try plan(image: ["healthcheck_interval=9s"]).config.environment
        #expect(!image.contains { $0.hasPrefix("healthcheck_interval") })
    }

    @Test func `the function's labels are in one, as they were given`() throws {
        let labels = ["a b": "1", "com.example/x": "☃ \"q\""]
        let config = try plan { $0.labels = labels }.config
        let text = try #require(config.labels["com.martlet.labels"])
        #expect(try JSONDecoder().decode([String: String].self, from: Data(text.utf8)) == labels)
        #expect(config.labels["a b"] == nil)
    }

    @Test func `secrets are a folder that cannot be written`() throws {
        let mounts = try #require(try plan { $0.secrets = ["key"] }.config.host.mounts)
        #expect(
            mounts == [
                Mount(
                    type: "bind",
                    source: "/data/containers/echo-1-1/secrets",
                    target: "/var/openfaas/secrets",
                    readOnly: true
                )
            ]
        )
    }

    @Test func `replicas of one revision have one shape, others have another`() throws {
        let shape = try plan { $0.secrets = ["key"] }.shape
        #expect(try plan({ $0.secrets = ["key"] }, replica: "echo-1-7").shape == shape)
        #expect(try plan().shape != shape)
        #expect(try plan({ $0.envVars = ["a": "b"] }).shape != plan().shape)
        #expect(try plan().config.labels["com.martlet.shape"] == plan().shape)
    }
}
