// SPDX-License-Identifier: Apache-2.0

import Crypto
import FaultModel
import Foundation

/// Unpacks an uncompressed tar archive (POSIX ustar, pax names) into a folder, strictly.
///
/// Blocks.
///
/// Refused are paths that lead out, links that do (by whatever other links), devices, and names that come twice. Links
/// are made last, when it is known where each leads.
struct BundleArchive {
    /// Longer names cannot be written, wherever the data directory lies.
    private static let longestPath = 2048
    private static let longestName = 255
    /// The system's own limit.
    private static let longestTarget = 4095

    private let handle: FileHandle
    private let folder: String
    private var tree = BundleTree()
    private var hashes: [(path: BundlePath, entry: String)] = []

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
        for (path, entry) in hashes.sorted(by: { $0.path < $1.path }) {
            all.update(data: Data(path.bytes + Array("\0\(entry)\n".utf8)))
        }
        return "sha256-" + all.finalize().map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
    }

    private mutating func unpackAll() throws {
        var names = PaxNames()
        while let block = try handle.read(upToCount: 512), block.count == 512, block.contains(where: { $0 != 0 }) {
            let header = try TarHeader(block)
            switch header.kind {
            case UInt8(ascii: "x"):
                names = try paxNames(header)
            case UInt8(ascii: "g"):
                try skip(header.size + header.padding)
            default:
                try unpack(header, names)
                names = PaxNames()
            }
        }
        try makeLinks()
    }

    private mutating func unpack(_ header: TarHeader, _ names: PaxNames) throws {
        let path = try checked(names.path ?? header.path)
        guard path != .root else { return }
        do throws(BundleTree.Refusal) {
            switch header.kind {
            case UInt8(ascii: "0"), 0: try tree.addFile(path)
            case UInt8(ascii: "5"): try tree.addFolder(path)
            case UInt8(ascii: "2"): try tree.addLink(path, to: names.linkPath ?? header.linkName)
            default: break
            }
        } catch {
            throw Self.refused("\(path.text) \(error == .taken ? "comes twice" : "lies behind a link or a file").")
        }
        switch header.kind {
        case UInt8(ascii: "0"), 0:
            try makeFolders(above: path)
            try copyFile(header, path)
        case UInt8(ascii: "5"):
            try makeFolders(above: path)
            try makeFolder(path)
        case UInt8(ascii: "2"):
            try makeFolders(above: path)
        default:
            throw Self.refused("\(path.text) is neither a file nor a folder.")
        }
    }

    private func checked(_ raw: String) throws -> BundlePath {
        try Self.checkCharacters(raw)
        let parts = BundlePath.parts(raw)
        guard !BundlePath.isAbsolute(raw), !parts.contains(where: BundlePath.isUp) else {
            throw Self.refused("a path leads out of it.")
        }
        guard raw.utf8.count <= Self.longestPath, parts.allSatisfy({ $0.count <= Self.longestName }) else {
            throw Self.refused("a name is too long.")
        }
        return BundlePath(parts)
    }

    private static func checkCharacters(_ raw: String) throws {
        // Foundation ends the program over some of these.
        guard raw.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f }) else {
            throw refused("a name has a control character.")
        }
    }

    private func place(_ path: BundlePath) -> String { "\(folder)/\(path.text)" }

    /// The tree knows that no link stands on the way; none has been made yet either.
    private func makeFolders(above path: BundlePath) throws {
        var missing: [BundlePath] = []
        var next = path.parent
        while let folder = next, folder != .root, mkdir(place(folder), 0o755) != 0, errno != EEXIST {
            missing.append(folder)
            next = folder.parent
        }
        for folder in missing.reversed() { try makeFolder(folder) }
    }

    private func makeFolder(_ path: BundlePath) throws {
        guard mkdir(place(path), 0o755) == 0 || errno == EEXIST else {
            throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO)
        }
    }

    private mutating func copyFile(_ header: TarHeader, _ path: BundlePath) throws {
        let mode: mode_t = header.mode & 0o111 != 0 ? 0o555 : 0o444
        let descriptor = open(place(path), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode)
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
        try skip(header.padding)
        let sum = content.finalize().map { String($0, radix: 16) }.joined(separator: ".")
        hashes.append((path, "\(mode) \(sum)"))
    }

    private mutating func makeLinks() throws {
        for link in tree.links {
            try Self.checkCharacters(link.target)
            guard link.target.utf8.count <= Self.longestTarget, tree.staysInside(link) else {
                throw Self.refused("the link \(link.path.text) leads out of it, or nowhere.")
            }
        }
        for link in tree.links {
            guard symlink(link.target, place(link.path)) == 0 else {
                throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO)
            }
            hashes.append((link.path, "link \(link.target)"))
        }
    }

    private func paxNames(_ header: TarHeader) throws -> PaxNames {
        guard header.size < 65_536, let data = try handle.read(upToCount: header.size), data.count == header.size,
            let names = PaxNames(Array(data))
        else { throw Self.refused("a pax header is damaged or too large.") }
        try skip(header.padding)
        return names
    }

    private func skip(_ count: Int) throws {
        guard count > 0 else { return }
        try handle.seek(toOffset: handle.offset() + UInt64(count))
    }

    static func refused(_ why: String) -> PlatformFault {
        PlatformFault(.malformedBody, "The bundle's archive is refused: \(why)", hint: "Build it again: martlet build")
    }
}

/// The names that a pax header gives to the entry behind it, where they do not fit into the entry's own.
private struct PaxNames {
    var path: String?
    var linkPath: String?

    init() {}

    /// Records are `LENGTH KEY=VALUE\n`, where the length counts the whole record; nil for anything else.
    init?(_ bytes: [UInt8]) {
        var rest = bytes[...]
        while let space = rest.firstIndex(of: UInt8(ascii: " ")) {
            guard let length = Int(String(decoding: rest[..<space], as: UTF8.self)),
                length > space - rest.startIndex + 1, length <= rest.count
            else { return nil }
            let record = String(decoding: rest[(space + 1)..<(rest.startIndex + length - 1)], as: UTF8.self)
            rest = rest.dropFirst(length)
            if record.utf8.starts(with: "path=".utf8) { path = String(record.utf8.dropFirst(5)) }
            if record.utf8.starts(with: "linkpath=".utf8) { linkPath = String(record.utf8.dropFirst(9)) }
        }
        guard rest.isEmpty else { return nil }
    }
}

/// One header block of a tar archive.
private struct TarHeader {
    let path: String
    let mode: Int
    let size: Int
    let kind: UInt8
    let linkName: String
    /// What fills the last block of the content.
    var padding: Int { (512 - size % 512) % 512 }

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
