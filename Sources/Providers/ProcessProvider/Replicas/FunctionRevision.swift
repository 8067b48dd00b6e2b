// SPDX-License-Identifier: Apache-2.0

import FaultModel
package import FunctionModel
import ProcessControl
import ReplicaSupervision

/// One revision of a function: what its replicas run and how, its bundle's defaults filled in.
package struct FunctionRevision: HomeRevision {
    /// Its number, from 1.
    package var number: Int
    /// What was asked for, with the bundle's defaults and of-watchdog's.
    package let spec: FunctionSpec
    let run: ProcessRun
    let bundle: BundleDescription?
    let bundleFolder: String?
    let limits: ResourceLimits

    var id: FunctionID { spec.id }

    /// That of an `upstream_url` with a number.
    package var fixedPort: Int? { if case .fixed(let port) = run.port { port } else { nil } }

    /// - Throws: `invalidValue` naming what cannot be parsed or run.
    init(
        _ given: FunctionSpec,
        number: Int,
        bundle: BundleDescription?,
        bundleFolder: String?
    ) throws(PlatformFault) {
        self.number = number
        self.bundle = bundle
        self.bundleFolder = bundleFolder
        let filled = try given.filled(with: ImageDefaults(bundle))
        run = filled.run
        guard !run.command.isEmpty else {
            throw PlatformFault(
                .invalidValue,
                "The function \(given.id.name) has no program to run.",
                hint: "Name it by fprocess, as: martlet deploy \(given.id.name) --image host --fprocess \"cat\""
            )
        }
        var spec = filled.spec
        // The autoscaler need not learn by failing that there is room for one only.
        if case .fixed = run.port { spec.scaling.max = max(1, spec.scaling.min) }
        self.spec = spec
        limits = ResourceLimits(spec.run.limits)
    }
}

extension ImageDefaults {
    /// What a bundle says; a program of the machine says nothing.
    fileprivate init(_ bundle: BundleDescription?) {
        self.init(environment: bundle?.environment ?? [:], mode: bundle?.mode, process: bundle?.fprocess)
    }
}

extension ResourceAmounts {
    /// Whether graphics processors are limited, which nothing enforces for processes.
    var limitGPUs: Bool { gpus.values.contains { $0 > 0 } }

    /// Whether all that is limited is enforced, where control groups can be written or not.
    func areEnforced(byGroups hasGroups: Bool) -> Bool {
        !limitGPUs && (hasGroups || ResourceLimits(self).isEmpty)
    }
}

extension ResourceLimits {
    /// What the system can limit.
    init(_ amounts: ResourceAmounts) {
        self.init(memoryBytes: amounts.memoryBytes, milliCPU: amounts.milliCPU, processes: amounts.processes)
    }
}
