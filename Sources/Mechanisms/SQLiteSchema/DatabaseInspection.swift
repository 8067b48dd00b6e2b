// SPDX-License-Identifier: Apache-2.0

import GRDB
import Glibc

/// Looks at databases without changing anything, for `martlet doctor`.
public enum DatabaseInspection {
    /// What is wrong with a database; nil when it is sound or not there yet.
    ///
    /// Blocks.
    public static func problem(of path: String) -> String? {
        guard access(path, F_OK) == 0 else { return nil }
        do {
            var configuration = Configuration()
            configuration.readonly = true
            configuration.busyMode = .timeout(2)
            let database = try DatabaseQueue(path: path, configuration: configuration)
            let findings = try database.read { try String.fetchAll($0, sql: "PRAGMA quick_check(5)") }
            return findings == ["ok"] ? nil : findings.joined(separator: "; ")
        } catch {
            return "\(error)"
        }
    }
}
