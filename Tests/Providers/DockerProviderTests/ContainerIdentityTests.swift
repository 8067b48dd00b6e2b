// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import Testing

@testable import DockerProvider

struct ContainerIdentityTests {
    private let identity = ContainerIdentity(
        instance: "3f2a91c0-5d1e-4a57-9c55-d5a7f4ee0a01",
        function: FunctionID(name: "shop-1", namespace: "openfaas-fn"),
        revision: 12,
        replica: "shop-1-12-3",
        generation: "even"
    )

    @Test func `a replica is found again by the labels of its container`() {
        #expect(ContainerIdentity(labels: identity.labels.merging(["other": "x"]) { $1 }) == identity)
    }

    @Test func `its container has one name, of the characters that the engine takes`() {
        #expect(identity.containerName == "martlet-3f2a91c0.openfaas-fn.shop-1-12-3")
        let allowed = identity.containerName.dropFirst().allSatisfy {
            $0.isASCII && ($0.isLetter || $0.isNumber || "_.-".contains($0))
        }
        #expect(allowed && identity.containerName.first?.isLetter == true)
    }

    @Test(arguments: [
        "com.martlet.instance", "com.martlet.function", "com.martlet.revision", "com.martlet.replica",
        "com.martlet.generation",
    ])
    func `a container without one of them is not ours`(missing: String) {
        var labels = identity.labels
        labels[missing] = nil
        #expect(ContainerIdentity(labels: labels) == nil)
    }

    @Test func `labels that somebody else wrote trap nobody`() {
        for (name, value) in [("function", "nodot"), ("function", ""), ("revision", "two"), ("revision", "")] {
            var labels = identity.labels
            labels["com.martlet.\(name)"] = value
            #expect(ContainerIdentity(labels: labels) == nil, "\(name)=\(value)")
        }
    }

    @Test func `what a container is made with has one digest, and something else another`() {
        #expect(ContainerShape.digest("".utf8) == "cbf29ce484222325")
        #expect(ContainerShape.digest("a".utf8) == "af63dc4c8601ec8c")
        #expect(ContainerShape.digest("ab".utf8) != ContainerShape.digest("ba".utf8))
    }
}
