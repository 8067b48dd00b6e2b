// SPDX-License-Identifier: Apache-2.0

import CProcessControl
import Glibc

/// A process that begins anew, with what it listens on.
public enum ProcessRestart {
    /// Replaces the program of this process by another run of itself, with its own arguments, which is given sockets by
    /// names as a service manager gives them (sd_listen_fds(3)).
    ///
    /// It is the program's file that this process was started from, even where another has that name by now. Nothing else
    /// of this run is left. Returns only where it fails: the system's number of why.
    public static func begin(with sockets: [(name: String, descriptor: Int32)]) -> Int32 {
        setenv("LISTEN_PID", "\(getpid())", 1)
        setenv("LISTEN_FDS", "\(sockets.count)", 1)
        setenv("LISTEN_FDNAMES", sockets.map(\.name).joined(separator: ":"), 1)
        // They last as long as this program.
        let arguments = CommandLine.arguments.map { strdup($0) } + [nil]
        _ = martlet_restart("/proc/self/exe", arguments, sockets.map(\.descriptor), sockets.count)
        return errno
    }
}
