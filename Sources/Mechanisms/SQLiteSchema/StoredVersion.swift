// SPDX-License-Identifier: Apache-2.0

import GRDB
import Glibc

/// How many steps of its schema a file has gone, found out without writing to it.
enum StoredVersion {
    /// The `user_version` of a database; nil where there is none, or where opening it says what is wrong.
    static func read(_ path: String) -> Int? {
        // A connection makes a log where there is none, and a log is newer than the file.
        hasLog(path) ? throughConnection(path) : inHeader(path)
    }

    private static func hasLog(_ path: String) -> Bool {
        var about = stat()
        return stat(path + "-wal", &about) == 0 && about.st_size > 0
    }

    private static func throughConnection(_ path: String) -> Int? {
        var configuration = Configuration()
        configuration.readonly = true
        configuration.busyMode = .timeout(10)
        guard let database = try? DatabaseQueue(path: path, configuration: configuration) else { return nil }
        defer { try? database.close() }
        return try? database.read { try Int.fetchOne($0, sql: "PRAGMA user_version") }
    }

    /// As the file's first bytes have it (SQLite, "Database File Format", §1.3).
    private static func inHeader(_ path: String) -> Int? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var header = [UInt8](repeating: 0, count: 100)
        guard pread(descriptor, &header, header.count, 0) == header.count,
            header.starts(with: "SQLite format 3\0".utf8)
        else { return nil }
        return Int(Int32(bitPattern: header[60..<64].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }))
    }
}
