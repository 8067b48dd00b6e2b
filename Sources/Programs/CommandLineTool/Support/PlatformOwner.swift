// SPDX-License-Identifier: Apache-2.0

import Foundation
import ProcessControl

/// The Martlet that runs on a data directory of this machine.
///
/// Whoever listens on a port may say that it is Martlet. The kernel tells who it is: a password of a data directory goes
/// only to the process that has the directory's lock, and only where nobody but that process listens on the port.
struct PlatformOwner {
    let dataDirectory: String

    /// Whether the directory's Martlet, and nobody else, listens on a port of this machine.
    ///
    /// False where that cannot be found out. Blocks.
    func holds(port: Int) -> Bool {
        guard let processID = processID, let listeners = ListeningSockets.inodes(port: port), !listeners.isEmpty
        else { return false }
        return listeners.isSubset(of: ListeningSockets.inodes(ofProcess: processID))
    }

    /// Whether the directory's Martlet listens on a socket in the file system.
    ///
    /// False where that cannot be found out. Blocks.
    func holds(socket path: String) -> Bool {
        guard let processID else { return false }
        return SocketFile.listener(at: path) == processID
    }

    /// The process that has the lock: the one that says so in the file, if it has that very file open.
    private var processID: Int32? {
        var lock = stat()
        guard lstat("\(dataDirectory)/lock", &lock) == 0, lock.st_mode & S_IFMT == S_IFREG,
            let text = try? String(contentsOfFile: "\(dataDirectory)/lock", encoding: .utf8),
            let processID = Int32(text.trimmingCharacters(in: .whitespacesAndNewlines)), processID > 0
        else { return nil }
        var process = stat()
        guard stat("/proc/\(processID)", &process) == 0, process.st_uid == lock.st_uid else { return nil }
        let folder = "/proc/\(processID)/fd"
        let descriptors = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        let hasLock = descriptors.contains { name in
            var file = stat()
            return stat("\(folder)/\(name)", &file) == 0 && file.st_dev == lock.st_dev && file.st_ino == lock.st_ino
        }
        return hasLock ? processID : nil
    }
}

/// The kernel's tables of sockets.
enum ListeningSockets {
    /// The TCP sockets that listen on a port, whatever their address; nil where the kernel does not tell.
    static func inodes(port: Int) -> Set<UInt64>? {
        let tables = ["/proc/self/net/tcp", "/proc/self/net/tcp6"].compactMap(contents)
        guard !tables.isEmpty else { return nil }
        return Set(tables.flatMap { listeners(inTable: $0, port: port) })
    }

    /// Rows are `sl local_address rem_address st … uid timeout inode …`; state 0A listens.
    static func listeners(inTable table: Data, port: Int) -> [UInt64] {
        let hex = String(port, radix: 16, uppercase: true)
        let address = ":" + String(repeating: "0", count: max(0, 4 - hex.count)) + hex
        var found: [UInt64] = []
        var start = table.startIndex
        // Busy machines have a hundred thousand rows, and almost none is about the port.
        while let hit = table.range(of: Data((address + " ").utf8), in: start..<table.endIndex) {
            let newline = UInt8(ascii: "\n")
            let begin = table[..<hit.lowerBound].lastIndex(of: newline) ?? table.startIndex
            let end = table[hit.upperBound...].firstIndex(of: newline) ?? table.endIndex
            start = end
            let columns = String(decoding: table[begin..<end], as: UTF8.self).split { $0 == " " || $0 == "\n" }
            guard columns.count > 9, columns[1].hasSuffix(address), columns[3] == "0A" else { continue }
            if let inode = UInt64(columns[9]) { found.append(inode) }
        }
        return found
    }

    /// All of a table: the kernel gives it out a page at a time, which other readers take for the end.
    private static func contents(of path: String) -> Data? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var all = Data()
        var page = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = read(descriptor, &page, page.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { return nil }
            guard count > 0 else { return all }
            all.append(contentsOf: page[..<count])
        }
    }

    /// The sockets that a process has open; none where this user may not know.
    static func inodes(ofProcess processID: Int32) -> Set<UInt64> {
        let folder = "/proc/\(processID)/fd"
        let descriptors = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return Set(
            descriptors.compactMap { name in
                guard let target = try? FileManager.default.destinationOfSymbolicLink(atPath: "\(folder)/\(name)"),
                    target.hasPrefix("socket:["), target.hasSuffix("]")
                else { return nil }
                return UInt64(target.dropFirst("socket:[".count).dropLast())
            }
        )
    }
}
