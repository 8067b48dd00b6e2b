// SPDX-License-Identifier: Apache-2.0

import CProcessControl
import Glibc

/// A pipe by which children write to us.
public enum ProcessPipe {
    /// Makes a pipe whose ends no child inherits by accident; our read end blocks only where that is asked for.
    ///
    /// The caller closes both. - Throws: why there is none.
    public static func open(blocks: Bool = false) throws(SpawnError) -> (readEnd: Int32, writeEnd: Int32) {
        var (readEnd, writeEnd): (Int32, Int32) = (-1, -1)
        guard martlet_pipe(&readEnd, &writeEnd, blocks ? 0 : 1, 0) == 0 else {
            throw SpawnError(code: errno, message: "no pipe for a process: \(ExecutableLookup.text(errno))")
        }
        return (readEnd, writeEnd)
    }
}
