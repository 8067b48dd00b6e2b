// SPDX-License-Identifier: Apache-2.0

import CProcessControl

/// A pipe by which children write to us.
public enum ProcessPipe {
    /// Makes a pipe whose ends no child inherits by accident; our read end does not block.
    ///
    /// False when there is none.
    public static func make(read: inout Int32, write: inout Int32) -> Bool {
        martlet_pipe(&read, &write, 1, 0) == 0
    }
}
