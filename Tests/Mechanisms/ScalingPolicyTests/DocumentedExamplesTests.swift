// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionModel
import ScalingPolicy
import TestSupport
import Testing

/// The numbers of Documentation/autoscaling.md.
struct DocumentedExamplesTests {
    private static let page: String = {
        let text = try? String(contentsOf: Repository.file("Documentation/autoscaling.md"), encoding: .utf8)
        return (text ?? "").replacingOccurrences(of: "=\n", with: "= ").replacingOccurrences(
            of: "**5**\n",
            with: "**5** "
        )
    }()

    private static func mode(_ word: String) -> ScalingRules.Mode? {
        switch word {
        case "rps": .rps
        case "capacity": .capacity
        case "cpu": .cpu
        case "memory": .memory
        case "queue": .queue
        case "custom": .query("x")
        default: nil
        }
    }

    @Test func `every mode has an example, and each gives the number it says`() throws {
        let pattern =
            /Example\.\*\* `(\w+)`: (\d+) [^,]*, target (\d+), proportion ([\d.]+), between (\d+) and (\d+): .*\*\*(\d+)\*\*/
        var seen: [String] = []
        for match in Self.page.matches(of: pattern) {
            let (_, word, amount, target, proportion, least, most, replicas) = match.output
            let mode = try #require(Self.mode(String(word)))
            let load = try #require(Double(amount))
            let rules = ScalingRules(
                mode: mode,
                target: try #require(Double(target)),
                proportion: try #require(Double(proportion))
            )
            var life = ScalingPolicyTests.Life(rules, min: try #require(Int(least)), max: try #require(Int(most)))
            for _ in 0..<12 {
                life.second(calls: Int(load), inFlight: Int(load), backlog: Int(load), reading: load)
            }
            #expect(life.replicas == Int(replicas), "\(match.output.0)")
            seen.append(String(word))
        }
        #expect(seen == ["rps", "capacity", "cpu", "memory", "queue", "custom"])
    }

    @Test func `replicas go down as the table has it`() throws {
        var life = ScalingPolicyTests.Life(ScalingRules(mode: .capacity, target: 10, proportion: 1))
        let rows = Self.page.matches(of: /\| (\d+) to (\d+) \| (\d+) \| (\d+) \|/)
        #expect(rows.count == 5)
        for row in rows {
            let (text, from, to, calls, replicas) = row.output
            let count = try #require(Int(to)) - (try #require(Int(from))) + 1
            life.seconds(count, inFlight: try #require(Int(calls)))
            #expect(life.replicas == Int(replicas), "\(text)")
        }
    }

    @Test func `the defaults of the table are those of the rules`() throws {
        let rules = try #require(try ScalingRules(labels: ["com.openfaas.scale.zero": "true"], annotations: [:]))
        for (label, value) in [
            ("type", "`\(rules.mode.name)`"), ("target", "\(Int(rules.target))"),
            ("target-proportion", "0.\(Int(rules.proportion * 100))"), ("max", "\(ScalingSpec.usualMaximum)"),
            ("zero-duration", "`\(GoDuration.format(rules.zeroAfter ?? .zero))`"),
        ] {
            #expect(Self.page.contains("| `com.openfaas.scale.\(label)` | \(value) |"), "\(label)")
        }
    }
}
