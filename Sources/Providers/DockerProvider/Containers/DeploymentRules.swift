// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel

/// What one Docker engine can be asked for: whatever cannot be honoured is refused by the field's name.
struct DeploymentRules {
    /// Cores of the engine's machine.
    let cores: Int

    /// What the engine gives a container at least, in bytes.
    static let leastMemory = 6 << 20
    /// Below this many thousandths of a core a container does not start.
    static let leastCPU = 10
    /// Processors that the engine hands to containers, by key and the driver that does it.
    static let gpuDrivers = ["nvidia.com/gpu": "nvidia"]

    /// - Throws: `invalidValue` naming the field.
    func check(_ spec: FunctionSpec) throws(PlatformFault) {
        let run = spec.run
        guard !spec.deployment.runsOnHost else {
            throw Self.refusal(
                "image: \"host\" stands for a program of this machine, which no container can run.",
                "Name a container image, or start Martlet with --provider process."
            )
        }
        guard run.constraints.isEmpty else {
            throw Self.refusal(
                "constraints: one Docker engine has one machine, so that there is nothing to choose from.",
                "Leave constraints out."
            )
        }
        try check(run.limits, "limits")
        try check(run.requests, "requests")
        try check(run.requests.memoryBytes, isNotAbove: run.limits.memoryBytes, "memory")
        try check(run.requests.milliCPU, isNotAbove: run.limits.milliCPU, "cpu")
    }

    private func check(_ amounts: ResourceAmounts, _ kind: String) throws(PlatformFault) {
        if let memory = amounts.memoryBytes, memory < Self.leastMemory {
            throw Self.refusal("\(kind).memory: a container gets 6Mi at least.", "Write 6Mi or more.")
        }
        if let cpu = amounts.milliCPU, !(Self.leastCPU...cores * 1000).contains(cpu) {
            throw Self.refusal(
                "\(kind).cpu: the engine's machine has \(cores) cores, and a container gets 10m at least.",
                "Write an amount from 10m to \(cores)."
            )
        }
        for (key, number) in amounts.gpus.sorted(by: { $0.key < $1.key })
        where number > 0 && Self.gpuDrivers[key] == nil {
            throw Self.refusal(
                "\(kind).\(key): a Docker engine hands no such processors to containers.",
                "Of graphics processors it knows \(Self.gpuDrivers.keys.sorted().joined(separator: ", "))."
            )
        }
    }

    private func check(_ request: Int?, isNotAbove limit: Int?, _ what: String) throws(PlatformFault) {
        guard let request, let limit, request > limit else { return }
        throw Self.refusal("requests.\(what) is above limits.\(what).", "Lower the request, or raise the limit.")
    }

    private static func refusal(_ message: String, _ hint: String) -> PlatformFault {
        PlatformFault(.invalidValue, message, hint: hint)
    }
}
