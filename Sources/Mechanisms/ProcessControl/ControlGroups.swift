// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Most that the processes of one control group may use together; nil means no limit.
public struct ResourceLimits: Sendable, Equatable {
    /// Bytes of memory.
    public var memoryBytes: Int?
    /// Thousandths of a core.
    public var milliCPU: Int?
    /// Processes and threads.
    public var processes: Int?

    /// Makes limits.
    public init(memoryBytes: Int? = nil, milliCPU: Int? = nil, processes: Int? = nil) {
        self.memoryBytes = memoryBytes
        self.milliCPU = milliCPU
        self.processes = processes
    }

    /// Whether anything is limited.
    public var isEmpty: Bool { memoryBytes == nil && milliCPU == nil && processes == nil }
}

/// What processes use.
public struct ResourceUsage: Sendable, Equatable {
    /// CPU time used so far, in nanoseconds.
    public var cpuNanoseconds: UInt64
    /// Bytes of memory in use now.
    public var memoryBytes: UInt64

    /// Makes a reading.
    public init(cpuNanoseconds: UInt64, memoryBytes: UInt64) {
        self.cpuNanoseconds = cpuNanoseconds
        self.memoryBytes = memoryBytes
    }
}

/// The system's control groups, of version 1 or 2, below a node of our own.
public struct ControlGroupTree: Sendable {
    /// How limits are written.
    public enum Version: Sendable, Equatable {
        /// One hierarchy per controller.
        case v1
        /// One hierarchy.
        case v2
    }

    /// Which version it is.
    public let version: Version
    /// Our node in each hierarchy that we use, by controller (v1), or under `""` (v2).
    let nodes: [String: String]

    /// Finds writable control groups and makes our node in them; nil when there are none.
    ///
    /// Version 2 forbids processes in inner nodes, so this process first moves to a leaf beside those of functions.
    public static func detect(
        root: String = "/sys/fs/cgroup",
        ownGroups: String = "/proc/self/cgroup",
        name: String,
        processID: Int32
    ) -> ControlGroupTree? {
        let own = SystemFile.text(ownGroups).map(ownGroup) ?? ""
        return detectV2(root: root + own, name: name, processID: processID) ?? detectV1(root: root, name: name)
    }

    /// The group of version 2 that this process is in, where what it was delegated begins: the line `0::/PATH`.
    private static func ownGroup(_ text: String) -> String {
        let line = text.split(separator: "\n").first { $0.hasPrefix("0::/") }
        let path = line.map { String($0.dropFirst(3)) } ?? ""
        return path == "/" ? "" : path
    }

    private static func detectV1(root: String, name: String) -> ControlGroupTree? {
        var nodes: [String: String] = [:]
        for controller in ["memory", "cpu", "cpuacct", "pids"] {
            let node = "\(root)/\(controller)/\(name)"
            guard SystemFile.exists("\(root)/\(controller)/cgroup.procs"), makeFolder(node),
                access("\(node)/cgroup.procs", W_OK) == 0
            else { continue }
            nodes[controller] = node
        }
        return nodes["memory"] == nil ? nil : ControlGroupTree(version: .v1, nodes: nodes)
    }

    private static func detectV2(root: String, name: String, processID: Int32) -> ControlGroupTree? {
        guard let controllers = SystemFile.text("\(root)/cgroup.controllers")?.split(whereSeparator: \.isWhitespace),
            controllers.contains("memory"), controllers.contains("pids")
        else { return nil }
        let base = "\(root)/\(name)"
        guard makeFolder(base), makeFolder("\(base)/platform"),
            write("\(processID)", to: "\(base)/platform/cgroup.procs"),
            write("+memory +pids +cpu", to: "\(base)/cgroup.subtree_control")
        else { return nil }
        return ControlGroupTree(version: .v2, nodes: ["": base])
    }

    /// The tree of another name beside this one, whether or not it is there.
    public func sibling(_ name: String) -> ControlGroupTree {
        ControlGroupTree(
            version: version,
            nodes: nodes.mapValues { node in
                let parent = node.lastIndex(of: "/").map { node[..<$0] } ?? ""
                return "\(parent)/\(name)"
            }
        )
    }

    /// Makes a group with limits.
    ///
    /// - Throws: why the system refused.
    public func make(_ name: String, limits: ResourceLimits) throws(SpawnError) -> ControlGroup {
        let group = ControlGroup(version: version, folders: nodes.mapValues { "\($0)/\(name)" })
        try group.create(limits)
        return group
    }

    /// Removes our node, which must be empty.
    public func remove() {
        for node in nodes.values {
            rmdir("\(node)/platform")
            rmdir(node)
        }
    }

    /// Ends what an earlier run left in our node and removes its groups.
    public func removeLeftovers() {
        let names = Set(nodes.values.flatMap(SystemFile.names))
        for name in names where name != "platform" {
            let group = ControlGroup(version: version, folders: nodes.mapValues { "\($0)/\(name)" })
            guard group.exists else { continue }
            group.killAll()
            group.remove()
        }
    }

    static func makeFolder(_ path: String) -> Bool { mkdir(path, 0o755) == 0 || errno == EEXIST }

    static func write(_ text: String, to file: String) -> Bool {
        let descriptor = open(file, O_WRONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        return Glibc.write(descriptor, text, text.utf8.count) == text.utf8.count
    }
}

/// A control group that processes are started in.
public final class ControlGroup: Sendable {
    private let version: ControlGroupTree.Version
    /// The group's folder by controller (v1), or under `""` (v2).
    private let folders: [String: String]

    init(version: ControlGroupTree.Version, folders: [String: String]) {
        self.version = version
        self.folders = folders
    }

    /// What its processes use together; nil when the system does not say.
    public func usage() -> ResourceUsage? {
        switch version {
        case .v1:
            guard let memory = number("memory", "memory.usage_in_bytes"), let cpu = number("cpuacct", "cpuacct.usage")
            else { return nil }
            let cache = field("total_inactive_file", in: "memory", "memory.stat") ?? 0
            return ResourceUsage(cpuNanoseconds: cpu, memoryBytes: memory - min(memory, cache))
        case .v2:
            guard let memory = number("", "memory.current"), let cpu = field("usage_usec", in: "", "cpu.stat")
            else { return nil }
            let cache = field("inactive_file", in: "", "memory.stat") ?? 0
            return ResourceUsage(cpuNanoseconds: cpu * 1000, memoryBytes: memory - min(memory, cache))
        }
    }

    /// How often a process of the group was killed for want of memory.
    public var outOfMemoryKills: UInt64 {
        switch version {
        case .v1: field("oom_kill", in: "memory", "memory.oom_control") ?? 0
        case .v2: field("oom_kill", in: "", "memory.events") ?? 0
        }
    }

    /// Ends all its processes, also those that left their process group.
    public func killAll() {
        if version == .v2, let folder = folders[""], ControlGroupTree.write("1", to: "\(folder)/cgroup.kill") { return }
        guard let folder = folders["memory"] ?? folders[""] else { return }
        // Whatever starts others faster than they can be ended starts none any more.
        _ = (folders["pids"] ?? folders[""]).map { ControlGroupTree.write("0", to: "\($0)/pids.max") }
        // A process may start another while we read; a few rounds catch it.
        for _ in 0..<20 {
            let processes = Self.withInner(folder).flatMap { folder in
                (SystemFile.text("\(folder)/cgroup.procs") ?? "").split(separator: "\n").compactMap { Int32($0) }
            }
            if processes.isEmpty { return }
            for process in processes { kill(process, SIGKILL) }
        }
    }

    /// Removes the group, when its last process is gone; returns at the latest after a second.
    ///
    /// A group that is not empty even then is left for the next start.
    public func remove() {
        for _ in 0..<Self.removals {
            for folder in folders.values.flatMap(Self.withInner) { rmdir(folder) }
            guard exists else { return }
            // What was killed is in its group until its memory is given back.
            killAll()
            usleep(10_000)
        }
    }

    private static let removals = 100

    /// Groups that processes have made inside one, innermost first, and it.
    private static func withInner(_ folder: String) -> [String] {
        let inner = SystemFile.names(in: folder).map { "\(folder)/\($0)" }
        return inner.filter { SystemFile.exists("\($0)/cgroup.procs") }.flatMap(withInner) + [folder]
    }

    /// Whether the group's folder is there.
    var exists: Bool { folders.values.contains { SystemFile.exists("\($0)/cgroup.procs") } }

    func create(_ limits: ResourceLimits) throws(SpawnError) {
        for folder in folders.values where !ControlGroupTree.makeFolder(folder) {
            throw SpawnError(code: errno, message: "a control group could not be made")
        }
        do throws(SpawnError) {
            switch version {
            case .v1: try limitV1(limits)
            case .v2: try limitV2(limits)
            }
        } catch {
            remove()
            throw error
        }
    }

    private func limitV1(_ limits: ResourceLimits) throws(SpawnError) {
        if let memory = limits.memoryBytes {
            try set("memory", "memory.limit_in_bytes", "\(memory)")
            // Swap accounting is not built into every kernel.
            _ = folders["memory"].map { ControlGroupTree.write("\(memory)", to: "\($0)/memory.memsw.limit_in_bytes") }
        }
        if let milliCPU = limits.milliCPU { try set("cpu", "cpu.cfs_quota_us", "\(max(1000, milliCPU * 100))") }
        if let processes = limits.processes { try set("pids", "pids.max", "\(processes)") }
    }

    private func limitV2(_ limits: ResourceLimits) throws(SpawnError) {
        if let memory = limits.memoryBytes {
            try set("", "memory.max", "\(memory)")
            _ = folders[""].map { ControlGroupTree.write("0", to: "\($0)/memory.swap.max") }
        }
        if let milliCPU = limits.milliCPU { try set("", "cpu.max", "\(max(1000, milliCPU * 100)) 100000") }
        if let processes = limits.processes { try set("", "pids.max", "\(processes)") }
    }

    private func set(_ controller: String, _ file: String, _ value: String) throws(SpawnError) {
        guard let folder = folders[controller], ControlGroupTree.write(value, to: "\(folder)/\(file)") else {
            throw SpawnError(code: errno, message: "the limit \(file) could not be set")
        }
    }

    /// Opens the files that a child joins the group by.
    func openMembership() throws(SpawnError) -> [Int32] {
        var descriptors: [Int32] = []
        for folder in folders.values {
            let descriptor = open("\(folder)/cgroup.procs", O_WRONLY | O_CLOEXEC)
            guard descriptor >= 0 else {
                let code = errno
                for descriptor in descriptors { close(descriptor) }
                throw SpawnError(code: code, message: "the process could not be put under its limits")
            }
            descriptors.append(descriptor)
        }
        return descriptors
    }

    private func number(_ controller: String, _ file: String) -> UInt64? {
        folders[controller].flatMap { SystemFile.word("\($0)/\(file)") }.flatMap { UInt64($0) }
    }

    private func field(_ name: String, in controller: String, _ file: String) -> UInt64? {
        guard let folder = folders[controller], let text = SystemFile.text("\(folder)/\(file)") else { return nil }
        let line = text.split(separator: "\n").first { $0.hasPrefix(name + " ") }
        return line.flatMap { UInt64($0.dropFirst(name.count + 1)) }
    }
}
