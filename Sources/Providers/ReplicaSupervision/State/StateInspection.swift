// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Looks at a data directory without taking possession of it or changing anything, for `martlet doctor`.
public enum StateInspection {
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
