// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB

/// Looks at a data directory without taking possession of it or changing anything, for `martlet doctor`.
public enum StateInspection {
    /// What is wrong with a database of the data directory; nil when it is sound or not there yet.
    ///
    /// Blocks.
    public static func problem(of name: String, inDataDirectory path: String) -> String? {
        let file = "\(path)/\(name)"
        guard FileManager.default.fileExists(atPath: file) else { return nil }
        do {
            var configuration = Configuration()
            configuration.readonly = true
            configuration.busyMode = .timeout(2)
            let database = try DatabaseQueue(path: file, configuration: configuration)
            let findings = try database.read { try String.fetchAll($0, sql: "PRAGMA quick_check(5)") }
            return findings == ["ok"] ? nil : findings.joined(separator: "; ")
        } catch {
            return "\(error)"
        }
    }

    /// The process that owns a data directory; nil when none does.
    public static func owner(ofDataDirectory path: String) -> Int32? {
        let descriptor = open("\(path)/lock", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        guard flock(descriptor, LOCK_SH | LOCK_NB) != 0 else { return nil }
        let text = (try? String(contentsOfFile: "\(path)/lock", encoding: .utf8)) ?? ""
        return Int32(text.trimmingCharacters(in: .whitespacesAndNewlines)) ?? 0
    }
}
