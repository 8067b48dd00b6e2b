// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import Testing

@testable import DockerProvider

struct LeftoversTests {
    private let revision: ContainerRevision

    init() throws {
        let spec = try FunctionSpec(FunctionDeployment(service: "echo", image: "team/echo:1"))
        revision = ContainerRevision(spec, number: 3, image: PinnedImage(id: "sha256:abc"))
    }

    private func container(
        _ replica: String,
        revision: Int = 3,
        shape: String = "s",
        isRunning: Bool = true
    ) -> Leftovers.Container {
        Leftovers.Container(
            id: "id-\(replica)",
            name: "martlet-x.\(replica)",
            identity: ContainerIdentity(
                instance: "x",
                function: self.revision.id,
                revision: revision,
                replica: replica,
                generation: "even"
            ),
            shape: shape,
            isRunning: isRunning
        )
    }

    @Test func `one that is as it would be made now is taken over once, its own name's first`() {
        let left = Leftovers([container("echo-3-2"), container("echo-3-5")])
        #expect(left.claim(revision, shape: "s", preferring: "echo-3-5")?.id == "id-echo-3-5")
        #expect(left.claim(revision, shape: "s", preferring: "echo-3-9")?.id == "id-echo-3-2")
        #expect(left.claim(revision, shape: "s", preferring: "echo-3-2") == nil)
        #expect(left.takeRest().isEmpty)
    }

    @Test func `no other one is`() {
        let left = Leftovers([
            container("echo-2-1", revision: 2), container("echo-3-1", shape: "t"),
            container("echo-3-2", isRunning: false),
        ])
        #expect(left.claim(revision, shape: "s", preferring: "echo-3-1") == nil)
        #expect(left.takeRest().count == 3)
        #expect(left.takeRest().isEmpty)
    }

    @Test func `new names are numbered above those that are left, whatever these are called`() {
        #expect(Leftovers().firstNumber(of: revision.id) == 1)
        let names = ["echo-3-4", "echo-3-17-odd", "echo-3-99999999999999999999", "strange", "-"]
        #expect(Leftovers(names.map { container($0) }).firstNumber(of: revision.id) == 18)
        let other = FunctionID(name: "other", namespace: "openfaas-fn")
        #expect(Leftovers(names.map { container($0) }).firstNumber(of: other) == 1)
    }
}
