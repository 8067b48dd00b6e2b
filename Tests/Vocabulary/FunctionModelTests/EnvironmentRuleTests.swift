// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import Testing

/// What a kernel takes as a process's environment.
struct EnvironmentRuleTests {
    private func deployment(_ variables: [String: String], command: String? = nil) -> FunctionDeployment {
        FunctionDeployment(service: "a", image: "host", envProcess: command, envVars: variables)
    }

    @Test func `a variable may fill what the kernel takes, and no more`() throws {
        let most = EnvironmentRule.stringLimit - "NAME=".utf8.count - 1
        try EnvironmentRule.check(deployment(["NAME": String(repeating: "x", count: most)], command: "cat"))
        let fault = #expect(throws: PlatformFault.self) {
            try EnvironmentRule.check(deployment(["NAME": String(repeating: "x", count: most + 1)]))
        }
        #expect(fault?.code == .invalidValue && fault?.message.contains("NAME") == true)
        #expect(throws: PlatformFault.self) {
            try EnvironmentRule.check(deployment(["NAME": String(repeating: "é", count: most / 2 + 1)]))
        }
    }

    @Test func `all of them together, and the command, have a limit, too`() throws {
        let value = String(repeating: "x", count: 100_000)
        let some = Dictionary(uniqueKeysWithValues: (0..<10).map { ("NAME\($0)", value) })
        try EnvironmentRule.check(deployment(some))
        #expect(throws: PlatformFault.self) { try EnvironmentRule.check(deployment(some.merging(["X": value]) { $1 })) }
        #expect(throws: PlatformFault.self) {
            try EnvironmentRule.check(deployment([:], command: "echo \(value)\(value)"))
        }
    }

    @Test(arguments: ["", "A=B", "=", "A\0"])
    func `what cannot be a name is refused`(name: String) {
        #expect(throws: PlatformFault.self) { try EnvironmentRule.check(deployment([name: "x"])) }
    }

    @Test func `zero bytes are refused`() {
        #expect(throws: PlatformFault.self) { try EnvironmentRule.check(deployment(["A": "a\0b"])) }
        #expect(throws: PlatformFault.self) { try EnvironmentRule.check(deployment([:], command: "a\0b")) }
    }

    @Test(arguments: [
        ("host", true), ("host:latest", true), ("host:1.0", true), ("hosts", false), ("host/a", false),
        ("a/host:latest", false), ("", false), ("Host", false),
    ])
    func `host with any tag runs a program of the machine`(image: String, runsOnHost: Bool) {
        #expect(FunctionDeployment(service: "a", image: image).runsOnHost == runsOnHost)
    }
}
