// SPDX-License-Identifier: Apache-2.0

import GRDB
import Glibc

/// How many steps of its schema a file has gone, found out without writing to it.
enum StoredVersion {
    /// What is wrong with a file, as the end of a sentence.
    struct Damage: Error, CustomStringConvertible {
        let description: String
    }

    /// The `user_version` of a database; nil where there is none, or where opening it says what is wrong.
    ///
    /// - Throws: `Damage` of a file that cannot be read, or is not a database.
    static func read(_ path: String) throws(Damage) -> Int? {
        let version = try inHeader(path)
        // A connection makes a log where there is none, and a log is newer than the file.
        return hasLog(path) ? try throughConnection(path) : version
    }

    private static func hasLog(_ path: String) -> Bool {
        var about = stat()
        return stat(path + "-wal", &about) == 0 && about.st_size > 0
    }

    private static func throughConnection(_ path: String) throws(Damage) -> Int? {
        var configuration = Configuration()
        configuration.readonly = true
        configuration.busyMode = .timeout(10)
        do {
            let database = try DatabaseQueue(path: path, configuration: configuration)
            defer { try? database.close() }
            return try database.read { try Int.fetchOne($0, sql: "PRAGMA user_version") }
        } catch let error as DatabaseError where [.SQLITE_NOTADB, .SQLITE_CORRUPT].contains(error.resultCode) {
            throw Damage(description: error.message ?? "it is damaged")
        } catch {
            // It may be in use just now.
            return nil
        }
    }

    /// As the file's first bytes have it (SQLite, "Database File Format", §1.3).
    private static func inHeader(_ path: String) throws(Damage) -> Int? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            if errno == ENOENT { return nil }
            throw Damage(description: String(cString: strerror(errno)).lowercased())
        }
        defer { close(descriptor) }
        var header = [UInt8](repeating: 0, count: 100)
        let count = pread(descriptor, &header, header.count, 0)
        guard count >= 0 else { throw Damage(description: String(cString: strerror(errno)).lowercased()) }
        // Nothing has been written yet.
        guard count > 0 else { return nil }
        guard count == header.count, header.starts(with: "SQLite format 3\0".utf8) else {
            throw Damage(description: "it is not a SQLite database")
        }
        return Int(Int32(bitPattern: header[60..<64].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }))
    }
}
