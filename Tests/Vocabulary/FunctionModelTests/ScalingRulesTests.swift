// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import Testing

/// The labels of the autoscaler (contract §14.1).
struct ScalingRulesTests {
    private func rules(_ labels: [String: String], _ annotations: [String: String] = [:]) throws -> ScalingRules? {
        try ScalingRules(
            labels: Dictionary(uniqueKeysWithValues: labels.map { ("com.openfaas.scale.\($0.key)", $0.value) }),
            annotations: annotations
        )
    }

    @Test func `a function without any of the labels is none of the autoscaler's`() throws {
        #expect(try rules([:]) == nil)
        #expect(try rules(["min": "2", "max": "9", "factor": "20"]) == nil)
    }

    @Test(arguments: [
        ("type", "rps"), ("target", "50"), ("target-proportion", "0.90"), ("zero", "false"),
        ("zero-duration", "15m"), ("down.window", "0"),
    ])
    func `any one of them makes it so, the others being as documented`(name: String, value: String) throws {
        #expect(try rules([name: value]) == ScalingRules(mode: .rps, target: 50, proportion: 0.9))
    }

    @Test func `each label is read`() throws {
        let all = try rules([
            "type": "capacity", "target": "7.5", "target-proportion": "0.7", "down.window": "5m", "zero": "true",
            "zero-duration": "1m30s",
        ])
        #expect(
            all
                == ScalingRules(
                    mode: .capacity,
                    target: 7.5,
                    proportion: 0.7,
                    downWindow: .seconds(300),
                    zeroAfter: .seconds(90)
                )
        )
        #expect(try rules(["zero": "true"])?.zeroAfter == .seconds(900))
        #expect(try rules(["type": "cpu", "target": "500m"])?.target == 500)
        #expect(try rules(["type": "memory", "target": "128Mi"])?.target == 134_217_728)
        #expect(try rules(["type": "queue"])?.mode == .queue)
    }

    @Test func `custom loads are an expression, or a recording rule of that kind`() throws {
        let query = ["com.martlet.scale.query": "sum(jobs)"]
        #expect(try rules(["type": "custom"], query)?.mode == .query("sum(jobs)"))
        #expect(try rules([:], query)?.mode == .query("sum(jobs)"))
        #expect(try ScalingRules(labels: query, annotations: [:])?.mode == .query("sum(jobs)"))
        #expect(try rules(["type": "ram"])?.mode == .rule("ram"))
    }

    @Test func `rules survive being written as labels again`() throws {
        for (labels, annotations) in [
            (["type": "ram", "target": "0.25", "zero": "true"], [:]),
            (["target": "3"], ["com.martlet.scale.query": "x"]),
            (["type": "memory", "target": "1Gi", "down.window": "90s"], [:]),
        ] as [([String: String], [String: String])] {
            let rules = try #require(try rules(labels, annotations))
            #expect(try ScalingRules(labels: rules.labels, annotations: [:]) == rules)
        }
    }

    @Test(arguments: [
        ["type": "custom"], ["type": "r p s"], ["type": ""], ["type": "memory"], ["target": "0"], ["target": "-1"],
        ["target": "many"], ["target": "inf"], ["target": "nan"], ["type": "memory", "target": "12 Mi"],
        ["target-proportion": "0"], ["target-proportion": "1.1"], ["target-proportion": "90%"], ["zero": "maybe"],
        ["zero-duration": "long"], ["zero": "true", "zero-duration": "0"], ["down.window": "6m"], ["down.window": "x"],
    ])
    func `what cannot be parsed is refused by its name`(labels: [String: String]) throws {
        let fault = #expect(throws: PlatformFault.self) { try rules(labels) }
        #expect(fault?.code == .invalidValue && fault?.hint?.isEmpty == false, "\(fault as Any)")
        #expect(fault?.message.contains("com.openfaas.scale.") == true)
    }

    @Test func `two sources of load are refused`() throws {
        #expect(throws: PlatformFault.self) { try rules(["type": "rps"], ["com.martlet.scale.query": "x"]) }
    }
}
