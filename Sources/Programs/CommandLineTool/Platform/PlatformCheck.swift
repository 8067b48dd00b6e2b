// SPDX-License-Identifier: Apache-2.0

import FaultModel
import ReplicaSupervision
import SQLiteStore

extension PlatformSettings {
    /// Finds out what would keep a start from coming about, beside the Martlet that uses the data directory, which is not
    /// disturbed.
    ///
    /// Nothing where there is no data directory yet. Blocks, also until a NATS server has answered.
    ///
    /// - Throws: what the start would throw.
    func checkForReplacing(isWhole: Bool) throws(PlatformFault) {
        guard DataDirectory.identity(ofDirectory: dataDirectory) != nil else { return }
        if access.requiresCredentials { _ = try credentials.readOrMake() }
        try SQLiteDesiredStore.check(at: "\(dataDirectory)/martlet.sqlite")
        if isWhole { try PlatformQueue.check(self, folder: dataDirectory) }
    }
}
