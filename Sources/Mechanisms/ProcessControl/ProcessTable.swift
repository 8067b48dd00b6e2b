// SPDX-License-Identifier: Apache-2.0

import CProcessControl
import Glibc

/// What `/proc` knows of processes.
public enum ProcessTable {
    /// What every process group uses, by its leader, summed over its processes and the children that they have reaped.
    ///
    /// For systems without control groups. Reads a file per process of the machine, so it takes some milliseconds.
    public static func groupUsages() -> [Int32: ResourceUsage] {
        let ticks = UInt64(sysconf(Int32(_SC_CLK_TCK)))
        let page = UInt64(sysconf(Int32(_SC_PAGESIZE)))
        var sums: [Int32: ResourceUsage] = [:]
        for process in processes() {
            guard let fields = stat(process), fields.count > 21, let leader = Int32(fields[2]) else { continue }
            let time = (11...14).reduce(0) { $0 + (UInt64(fields[$1]) ?? 0) }
            sums[leader, default: ResourceUsage(cpuNanoseconds: 0, memoryBytes: 0)].cpuNanoseconds +=
                time * (1_000_000_000 / ticks)
            sums[leader]?.memoryBytes += (UInt64(fields[21]) ?? 0) * page
        }
        return sums
    }

    /// Ends the processes of a killed owner, and their children: those whose environment has a variable that begins
    /// with `marker`.
    ///
    /// They are recognised by what they carry, never by a bare id. For owners that made no `ProcessMarks`.
    ///
    /// Returns how many there were.
    @discardableResult
    public static func killOrphans(carrying marker: String) -> Int {
        processes().reduce(0) { count, process in
            process != getpid() && killIfCarrying(marker, process) ? count + 1 : count
        }
    }

    /// The pidfd pins the process: what is looked at after opening it is what the signal will hit.
    private static func killIfCarrying(_ marker: String, _ process: Int32) -> Bool {
        guard carries(marker, process) else { return false }
        let pidfd = martlet_pidfd_open(process)
        guard pidfd >= 0 else { return false }
        defer { close(pidfd) }
        guard carries(marker, process) else { return false }
        return martlet_pidfd_send_signal(pidfd, SIGKILL) == 0
    }

    private static func carries(_ marker: String, _ process: Int32) -> Bool {
        let variables = SystemFile.bytes("/proc/\(process)/environ")?.split(separator: 0) ?? []
        return variables.contains { $0.starts(with: marker.utf8) }
    }

    /// Whether `/proc` shows this process, and not those of another namespace or none at all.
    ///
    /// The runtime looks at its own threads there now and then, and ends a process that it does not find.
    public static var showsThisProcess: Bool {
        var target = [UInt8](repeating: 0, count: 16)
        let count = readlink("/proc/self", &target, target.count)
        return count > 0 && Int32(String(decoding: target.prefix(count), as: UTF8.self)) == getpid()
    }

    static func processes() -> [Int32] {
        SystemFile.names(in: "/proc").compactMap { Int32($0) }
    }

    /// Whether a process is gone, or waits for its parent to hear of its end.
    static func hasEnded(_ process: Int32) -> Bool {
        guard let state = stat(process)?.first else { return true }
        return state == "Z" || state == "X"
    }

    /// The fields of `/proc/ID/stat` behind the name: state, parent, group, and so on.
    private static func stat(_ process: Int32) -> [Substring]? {
        guard let text = SystemFile.text("/proc/\(process)/stat"), let end = text.lastIndex(of: ")") else { return nil }
        return text[text.index(after: end)...].split(whereSeparator: \.isWhitespace)
    }
}

/// Whether private mounts can be had here.
public enum PrivateMounts {
    /// Found out once, by trying.
    public static let areAvailable = martlet_can_mount_privately() == 1
}
