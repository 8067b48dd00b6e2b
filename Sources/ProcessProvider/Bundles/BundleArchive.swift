// SPDX-License-Identifier: Apache-2.0

import Crypto
import FaultModel
import Foundation

/// Unpacks an uncompressed tar archive (POSIX ustar, pax names) into a folder, strictly.
///
/// Blocks.
///
/// Refused are paths that lead out, links that do, devices, and names that come twice.
struct BundleArchive {
    private let handle: FileHandle
    private let folder: String
    private var seen: Set<String> = []
    private var hash: [String: String] = [:]

    /// Unpacks a file into an empty folder; returns the digest of what is in it, however it was packed.
    static func unpack(_ archivePath: String, into folder: String) throws(PlatformFault) -> String {
        do {
            guard let handle = FileHandle(forReadingAtPath: archivePath) else { throw POSIXError(.ENOENT) }
            defer { try? handle.close() }
            var archive = BundleArchive(handle: handle, folder: folder)
            try archive.unpackAll()
            return archive.digest
        } catch let fault as PlatformFault {
            throw fault
        } catch {
            throw PlatformFault(
                .storageUnavailable,
                "The bundle cannot be unpacked.",
                hint: "Check the free space of the data directory.",
                cause: error
            )
        }
    }

    private init(handle: FileHandle, folder: String) {
        self.handle = handle
        self.folder = folder
    }

    /// Over sorted paths, modes and contents, so that packing order and times do not matter.
    private var digest: String {
        var all = SHA256()
        for (path, entry) in hash.sorted(by: { $0.key < $1.key }) { all.update(data: Data("\(path)\0\(entry)\n".utf8)) }
        return "sha256-" + all.finalize().map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
    }

    private mutating func unpackAll() throws {
        var longName: String?
        while let block = try handle.read(upToCount: 512), block.count == 512, block.contains(where: { $0 != 0 }) {
            let header = try TarHeader(block)
            switch header.kind {
            case UInt8(ascii: "x"):
                longName = try paxPath(header) ?? longName
            case UInt8(ascii: "g"):
                try skip(header.size)
            default:
                try unpack(header, path: longName ?? header.path)
                longName = nil
            }
        }
    }

    private mutating func unpack(_ header: TarHeader, path: String) throws {
        let path = try checked(path)
        guard !path.isEmpty else { return }
        let target = "\(folder)/\(path)"
        switch header.kind {
        case UInt8(ascii: "0"), 0:
            try makeParents(of: path)
            try copyFile(header, to: target, path: path)
        case UInt8(ascii: "5"):
            try makeParents(of: path + "/.")
        case UInt8(ascii: "2"):
            try makeParents(of: path)
            try link(header.linkName, at: path, target: target)
        default:
            throw Self.refused("\(path) is neither a file nor a folder.")
        }
    }

    private mutating func checked(_ raw: String) throws -> String {
        // Foundation ends the program over some of these.
        guard raw.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f }) else {
            throw Self.refused("a name has a control character.")
        }
        let parts = raw.split(separator: "/").filter { $0 != "." }
        guard !raw.hasPrefix("/"), !parts.contains("..") else { throw Self.refused("a path leads out of it.") }
        let path = parts.joined(separator: "/")
        guard path.isEmpty || seen.insert(path).inserted else { throw Self.refused("\(path) comes twice.") }
        return path
    }

    private func makeParents(of path: String) throws {
        // No link may stand on the way: a file would be written where it leads.
        var way = folder
        for part in path.split(separator: "/").dropLast() {
            way += "/\(part)"
            var status = stat()
            if lstat(way, &status) == 0 {
                guard status.st_mode & S_IFMT == S_IFDIR else { throw Self.refused("\(path) lies behind a link.") }
            } else if mkdir(way, 0o755) != 0 {
                throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO)
            }
        }
    }

    private mutating func copyFile(_ header: TarHeader, to target: String, path: String) throws {
        let mode: mode_t = header.mode & 0o111 != 0 ? 0o555 : 0o444
        let descriptor = open(target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode)
        guard descriptor >= 0 else { throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO) }
        let file = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
        var content = SHA256()
        var left = header.size
        while left > 0 {
            guard let piece = try handle.read(upToCount: min(left, 1 << 20)), !piece.isEmpty else {
                throw Self.refused("it is cut off.")
            }
            content.update(data: piece)
            try file.write(contentsOf: piece)
            left -= piece.count
        }
        fchmod(descriptor, mode)
        try file.synchronize()
        try file.close()
        try skip((512 - header.size % 512) % 512)
        let sum = content.finalize().map { String($0, radix: 16) }.joined(separator: ".")
        hash[path] = "\(mode) \(sum)"
    }

    private mutating func link(_ name: String, at path: String, target: String) throws {
        var depth = path.split(separator: "/").count - 1
        for part in name.split(separator: "/") where part != "." {
            depth += part == ".." ? -1 : 1
            guard depth >= 0 else { throw Self.refused("the link \(path) leads out of it.") }
        }
        guard !name.hasPrefix("/"), !name.isEmpty, !name.utf8.contains(0) else {
            throw Self.refused("the link \(path) leads out of it.")
        }
        guard symlink(name, target) == 0 else { throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO) }
        hash[path] = "link \(name)"
    }

    /// The `path` of a pax header: records `LENGTH KEY=VALUE\n`.
    private func paxPath(_ header: TarHeader) throws -> String? {
        guard header.size < 65_536, let data = try handle.read(upToCount: header.size), data.count == header.size else {
            throw Self.refused("a pax header is too large.")
        }
        try skip((512 - header.size % 512) % 512)
        for record in String(decoding: data, as: UTF8.self).split(separator: "\n") {
            guard let space = record.firstIndex(of: " ") else { continue }
            let pair = record[record.index(after: space)...]
            if pair.hasPrefix("path=") { return String(pair.dropFirst(5)) }
        }
        return nil
    }

    private func skip(_ count: Int) throws {
        guard count > 0 else { return }
        try handle.seek(toOffset: handle.offset() + UInt64(count))
    }

    static func refused(_ why: String) -> PlatformFault {
        PlatformFault(.malformedBody, "The bundle's archive is refused: \(why)", hint: "Build it again: martlet build")
    }
}

/// One header block of a tar archive.
private struct TarHeader {
    let path: String
    let mode: Int
    let size: Int
    let kind: UInt8
    let linkName: String

    init(_ block: Data) throws {
        let bytes = [UInt8](block)
        func text(_ range: Range<Int>) -> String { String(decoding: bytes[range].prefix { $0 != 0 }, as: UTF8.self) }
        func octal(_ range: Range<Int>) throws -> Int {
            let digits = text(range).trimmingCharacters(in: .whitespaces)
            guard let value = Int(digits.isEmpty ? "0" : digits, radix: 8), value >= 0 else {
                throw BundleArchive.refused("a header is damaged.")
            }
            return value
        }
        let sum = bytes.enumerated().reduce(0) { $0 + ((148..<156).contains($1.offset) ? 32 : Int($1.element)) }
        guard try octal(148..<156) == sum else { throw BundleArchive.refused("it is not a tar archive.") }
        let prefix = text(257..<262) == "ustar" ? text(345..<500) : ""
        path = prefix.isEmpty ? text(0..<100) : "\(prefix)/\(text(0..<100))"
        mode = try octal(100..<108)
        size = try octal(124..<136)
        kind = bytes[156]
        linkName = text(157..<257)
    }
}
