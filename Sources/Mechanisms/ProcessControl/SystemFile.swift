// SPDX-License-Identifier: Apache-2.0

import Glibc

/// The small files by which the kernel tells of processes and groups.
///
/// Foundation could read them too, but it would make the watchdog in every image several times as large.
package enum SystemFile {
    /// The bytes of a file; nil where it cannot be read.
    package static func bytes(_ path: String) -> [UInt8]? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        return bytes(of: descriptor)
    }

    /// Everything that can be read from a descriptor; nil when that fails.
    package static func bytes(of descriptor: Int32) -> [UInt8]? {
        var all: [UInt8] = []
        var room = [UInt8](repeating: 0, count: 16_384)
        while true {
            let count = Glibc.read(descriptor, &room, room.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { return nil }
            guard count > 0 else { return all }
            all += room[..<count]
        }
    }

    /// Reads a file into memory that the caller keeps, which grows where it has to; returns how many bytes there are.
    ///
    /// 0 where it cannot be read.
    static func read(_ path: String, into room: inout [UInt8]) -> Int {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return 0 }
        defer { close(descriptor) }
        var length = 0
        while true {
            if length == room.count { room += [UInt8](repeating: 0, count: room.count) }
            let count = room.withUnsafeMutableBytes {
                Glibc.read(descriptor, $0.baseAddress.map { $0 + length }, $0.count - length)
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return length }
            length += count
        }
    }

    /// Writes bytes until all are written; false, with the reason in `errno`, when that fails.
    package static func writeAll(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32) -> Bool {
        var offset = 0
        while offset < bytes.count {
            let count = Glibc.write(descriptor, bytes.baseAddress.map { $0 + offset }, bytes.count - offset)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return false }
            offset += count
        }
        return true
    }

    /// Makes the names in a folder last; false, with the reason in `errno`, when that fails.
    @discardableResult
    package static func syncFolder(_ path: String) -> Bool {
        let folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard folder >= 0 else { return false }
        defer { close(folder) }
        return fsync(folder) == 0
    }

    /// The text of a file; nil where it cannot be read.
    package static func text(_ path: String) -> String? { bytes(path).map { String(decoding: $0, as: UTF8.self) } }

    /// The first word of a file.
    package static func word(_ path: String) -> Substring? { text(path)?.split(whereSeparator: \.isWhitespace).first }

    /// What a folder holds.
    package static func names(in folder: String) -> [String] {
        guard let stream = opendir(folder) else { return [] }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names
    }

    package static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }
}
