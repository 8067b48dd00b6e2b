// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
import TestSupport
import Testing

@testable import FunctionBuilder
@testable import ProcessProvider
@testable import ReplicaSupervision

/// What an archive may hold, and that nothing in it leads out.
struct BundleArchiveTests {
    private let scratch = TemporaryFolder()

    private func unpack(_ entries: [ArchiveEntry]) throws -> String {
        let file = scratch.path + "/archive"
        let target = scratch.path + "/out/tree"
        try? FileManager.default.removeItem(atPath: scratch.path + "/out")
        try FileManager.default.createDirectory(atPath: target, withIntermediateDirectories: true)
        try ArchiveEntry.archive(entries).write(to: URL(fileURLWithPath: file))
        _ = try BundleArchive.unpack(file, into: target)
        return target
    }

    @Test(
        arguments: [
            [.folder("d1"), .folder("d1/d2"), .link("d1/d2/up", ".."), .link("out", "d1/d2/up/../..")],
            // The same, the last one first.
            [.link("out", "d1/d2/up/../.."), .link("d1/d2/up", "..")],
            [.link("a/b", "../c"), .link("c", "d/.."), .link("out", "a/b/..")],
            [.link("here", "."), .link("out", "here/..")],
            [.link("out", "..")],
            [.link("out", "/etc/passwd")],
            [.link("in", "out/x"), .link("out", "gone/../..")],
            [.link("out", "/\u{301}x")],
            [.link("a", "b"), .link("b", "a")],
            [.link("a", "a/x")],
            [.link("out", "../tree")],
            [.link("empty", "")],
            [.link("bell", "a\u{7}")],
        ] as [[ArchiveEntry]]
    )
    fileprivate func `no link leads out, whatever other links it goes by`(entries: [ArchiveEntry]) {
        let fault = #expect(throws: PlatformFault.self) { try unpack(entries) }
        #expect(fault?.code == .malformedBody)
    }

    @Test func `links that stay inside are kept as they are`() throws {
        let target = try unpack([
            .file("pkg/tool/bin.js"), .link("pkg/.bin/tool", "../tool/bin.js"),
            .link("current", "versions/2"), .file("versions/2/file"), .link("versions/2/again", "../../current/file"),
            .link("later", "versions/3/../2"), .link("round", "./versions/.//2/.."),
        ])
        #expect(try FileManager.default.destinationOfSymbolicLink(atPath: target + "/current") == "versions/2")
        for name in ["pkg/.bin/tool", "current/file", "versions/2/again", "round/2/file"] {
            #expect(FileManager.default.contents(atPath: "\(target)/\(name)") == Data("x".utf8), "\(name)")
        }
    }

    @Test func `a name of a link may be longer than a header's field`() throws {
        let long = (0..<20).map { "folder-\($0)" }.joined(separator: "/")
        let target = try unpack([.global, .paxLink("long", long + "/file"), .file("short")])
        #expect(try FileManager.default.destinationOfSymbolicLink(atPath: target + "/long") == long + "/file")
        #expect(FileManager.default.fileExists(atPath: target + "/short"))
    }

    @Test(
        arguments: [
            // A slash is one to the system whatever stands behind it.
            [.file("../\u{301}x")],
            [.file("/\u{301}x")],
            [.file("a/\u{301}/../../../b")],
            [.file("a"), .file("a")],
            [.file("a"), .file("a/b")],
            [.file("a/b"), .file("a")],
            [.link("a", "b"), .file("a/c")],
            [.link("a", "b"), .file("a")],
            [.file("a/b"), .link("a", "b")],
            [.link("a", "b"), .folder("a")],
            [.file(String(repeating: "n", count: 256))],
            [.file(Array(repeating: "name", count: 500).joined(separator: "/"))],
        ] as [[ArchiveEntry]]
    )
    fileprivate func `a name that leads out, comes twice, lies behind a link or is too long is refused`(
        entries: [ArchiveEntry]
    ) throws {
        let fault = #expect(throws: PlatformFault.self) { try unpack(entries) }
        #expect(fault?.code == .malformedBody)
        let beside = try FileManager.default.contentsOfDirectory(atPath: scratch.path + "/out")
        #expect(beside == ["tree"])
    }

    @Test func `two ways to write a letter are two names, each with its own content`() throws {
        let one = ArchiveEntry.file("e\u{301}")
        let other = ArchiveEntry.link("\u{e9}", "e\u{301}")
        let target = try unpack([one, other])
        #expect(try FileManager.default.contentsOfDirectory(atPath: target).count == 2)
    }

    @Test func `the folder in which a bundle's program starts lies in the bundle`() throws {
        for workdir in ["../x", "/x", "..", "a/../..", "../\u{301}x", "/\u{301}x"] {
            let description = Data(#"{"fprocess":"cat","workdir":"\#(workdir)"}"#.utf8)
            try description.write(to: URL(fileURLWithPath: scratch.path + "/bundle.json"))
            #expect(throws: PlatformFault.self, "\(workdir)") { try BundleDescription(folder: scratch.path) }
        }
    }

    /// The system itself says where links lead: each that is let in resolves inside, and none that does is refused.
    @Test func `whatever links an archive has, they stay inside or it is refused`() throws {
        var random = SeededGenerator()
        var (kept, refused) = (0, 0)
        // Chance may be slow to come to both.
        for round in 0..<3000 where round < 300 || kept <= 10 || refused <= 10 {
            let entries = Self.randomEntries(&random)
            if let target = try? unpack(entries) {
                kept += 1
                for link in entries.filter(\.isLink) {
                    let place = Self.resolved(target + "/" + link.path)
                    #expect(place.map { Self.lies($0, in: target) } ?? true, "\(random) \(entries)")
                }
            } else if let places = try unchecked(entries) {
                refused += 1
                let root = scratch.path + "/unchecked/root"
                #expect(!places.allSatisfy { Self.lies($0, in: root) }, "\(random) \(entries)")
            }
        }
        #expect(kept > 10 && refused > 10, "\(kept) \(refused)")
    }

    private static func randomEntries(_ random: inout SeededGenerator) -> [ArchiveEntry] {
        let names = ["a", "b", "c", "d"]
        func part() -> String { names.randomElement(using: &random) ?? "" }
        let paths = (0..<Int.random(in: 2...7, using: &random)).map { _ in
            (0..<Int.random(in: 1...3, using: &random)).map { _ in part() }.joined(separator: "/")
        }
        return Set(paths).sorted().shuffled(using: &random).map { path in
            switch Int.random(in: 0..<6, using: &random) {
            case 0: return .folder(path)
            case 1: return .file(path)
            default:
                let parts = (0..<Int.random(in: 1...5, using: &random)).map { _ in
                    Int.random(in: 0..<5, using: &random) < 2 ? ".." : Bool.random(using: &random) ? part() : "."
                }
                return .link(path, parts.joined(separator: Bool.random(using: &random) ? "/" : "//"))
            }
        }
    }

    /// The same tree without a check; where its links lead, nil where it cannot be made or one leads nowhere.
    private func unchecked(_ entries: [ArchiveEntry]) throws -> [String]? {
        let root = scratch.path + "/unchecked/root"
        try? FileManager.default.removeItem(atPath: scratch.path + "/unchecked")
        try FileManager.default.createDirectory(atPath: root, withIntermediateDirectories: true)
        for entry in entries.filter({ !$0.isLink }) + entries.filter(\.isLink) {
            let place = "\(root)/\(entry.path)"
            let folder = (place as NSString).deletingLastPathComponent
            try? FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            guard Self.resolved(folder) == folder, entry.make(at: place) else { return nil }
        }
        let places = entries.filter(\.isLink).map { Self.resolved("\(root)/\($0.path)") }
        return places.contains(nil) ? nil : places.compactMap { $0 }
    }

    private static func resolved(_ path: String) -> String? {
        guard let text = realpath(path, nil) else { return nil }
        defer { free(text) }
        return String(cString: text)
    }

    private static func lies(_ path: String, in root: String) -> Bool { path == root || path.hasPrefix(root + "/") }
}

/// One entry of an archive that nobody builds by accident.
private enum ArchiveEntry: Sendable, CustomStringConvertible {
    case file(String)
    case folder(String)
    case link(String, String)
    /// A link whose target stands in a pax header.
    case paxLink(String, String)
    /// A header for all that follows, as `git archive` writes it.
    case global

    var description: String {
        switch self {
        case .file(let path): path
        case .folder(let path): path + "/"
        case .link(let path, let target), .paxLink(let path, let target): "\(path) -> \(target)"
        case .global: "global header"
        }
    }

    var path: String {
        switch self {
        case .file(let path), .folder(let path), .link(let path, _), .paxLink(let path, _): path
        case .global: ""
        }
    }

    var isLink: Bool { if case .link = self { true } else { false } }

    func make(at place: String) -> Bool {
        switch self {
        case .link(_, let target): symlink(target, place) == 0
        case .folder: mkdir(place, 0o755) == 0 || errno == EEXIST
        default: FileManager.default.createFile(atPath: place, contents: Data("x".utf8))
        }
    }

    static func archive(_ entries: [ArchiveEntry]) -> Data {
        var data = Data()
        for entry in entries { data += entry.blocks }
        return data + Data(count: 1024)
    }

    private var blocks: Data {
        switch self {
        case .file(let path):
            var tar = TarWriter()
            tar.add(path, Data("x".utf8), isExecutable: false)
            return tar.data
        case .folder(let path): return Self.empty(path, kind: "5")
        case .link(let path, let target): return Self.empty(path, kind: "2", target: target)
        case .paxLink(let path, let target):
            let body = " linkpath=\(target)\n"
            var length = body.utf8.count + 2
            while "\(length)".utf8.count + body.utf8.count != length { length += 1 }
            return Self.header("\(length)\(body)", kind: "x") + Self.empty(path, kind: "2", target: "cut off")
        case .global: return Self.header("52 comment=0123456789012345678901234567890123456789\n", kind: "g")
        }
    }

    private static func header(_ record: String, kind: Unicode.Scalar) -> Data {
        var tar = TarWriter()
        tar.add("pax", Data(record.utf8), isExecutable: false)
        return patched(tar.data, at: 0, kind: kind, target: "")
    }

    private static func empty(_ path: String, kind: Unicode.Scalar, target: String = "") -> Data {
        var tar = TarWriter()
        tar.add(path, Data(), isExecutable: false)
        return patched(tar.data, at: tar.data.count - 512, kind: kind, target: target)
    }

    /// Makes another kind of entry of a file's header.
    private static func patched(_ data: Data, at start: Int, kind: Unicode.Scalar, target: String) -> Data {
        var bytes = [UInt8](data)
        bytes[start + 156] = UInt8(kind.value)
        for (offset, byte) in target.utf8.prefix(100).enumerated() { bytes[start + 157 + offset] = byte }
        for offset in 148..<156 { bytes[start + offset] = 0x20 }
        let digits = String(bytes[start..<(start + 512)].reduce(0) { $0 + Int($1) }, radix: 8)
        let field = String(repeating: "0", count: 6 - digits.count) + digits
        bytes.replaceSubrange((start + 148)..<(start + 156), with: Array(field.utf8) + [0, 0x20])
        return Data(bytes)
    }
}
