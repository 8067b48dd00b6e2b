// SPDX-License-Identifier: Apache-2.0

import Glibc
import ProcessControl

/// What Prometheus' client libraries tell of any process, read from `/proc` at the moment of asking.
public enum ProcessMetrics {
    /// CPU, memory, descriptors and start, which need `/proc`, and the lines of logs that nobody will read.
    public static func families() -> [MetricFamily] { system() + [lostLines] }

    private static var lostLines: MetricFamily {
        MetricFamily(
            "martlet_log_lines_lost_total",
            .counter,
            help: "Lines of logs that were lost since their reader was too slow, or gone.",
            value: Double(LineWriter.lostLines)
        )
    }

    private static func system() -> [MetricFamily] {
        guard let fields = statFields() else { return [] }
        let ticks = Double(sysconf(Int32(_SC_CLK_TCK)))
        let page = Double(sysconf(Int32(_SC_PAGESIZE)))
        let descriptors = SystemFile.names(in: "/proc/self/fd").count
        return [
            MetricFamily(
                "process_cpu_seconds_total",
                .counter,
                help: "User and system CPU time spent, in seconds.",
                value: (number(fields, 11) + number(fields, 12)) / ticks
            ),
            MetricFamily(
                "process_resident_memory_bytes",
                .gauge,
                help: "Resident memory size, in bytes.",
                value: number(fields, 21) * page
            ),
            MetricFamily(
                "process_virtual_memory_bytes",
                .gauge,
                help: "Virtual memory size, in bytes.",
                value: number(fields, 20)
            ),
            MetricFamily(
                "process_open_fds",
                .gauge,
                help: "Number of open file descriptors.",
                value: Double(descriptors)
            ),
            MetricFamily(
                "process_start_time_seconds",
                .gauge,
                help: "Start time of the process since the Unix epoch, in seconds.",
                value: bootTime() + number(fields, 19) / ticks
            ),
        ]
    }

    /// The fields of `/proc/self/stat` behind the name, which may hold spaces itself.
    private static func statFields() -> [Substring]? {
        guard let text = SystemFile.text("/proc/self/stat"), let end = text.lastIndex(of: ")") else { return nil }
        return text[text.index(after: end)...].split(whereSeparator: \.isWhitespace)
    }

    private static func number(_ fields: [Substring], _ index: Int) -> Double {
        index < fields.count ? Double(fields[index]) ?? 0 : 0
    }

    private static func bootTime() -> Double {
        let text = SystemFile.text("/proc/stat") ?? ""
        let line = text.split(separator: "\n").first { $0.hasPrefix("btime ") }
        return line.flatMap { Double($0.dropFirst(6)) } ?? 0
    }
}
