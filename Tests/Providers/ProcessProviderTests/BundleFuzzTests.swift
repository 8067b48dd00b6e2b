// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport
import Testing

@testable import FunctionBuilder
@testable import ProcessProvider
@testable import ReplicaSupervision

struct BundleFuzzTests {
    /// A small archive with a file, a folder and names of every length.
    private func archive() -> [UInt8] {
        var tar = TarWriter()
        tar.add("bundle.json", Data(#"{"fprocess":"cat"}"#.utf8), isExecutable: false)
        tar.add("function/handler.py", Data("pass\n".utf8), isExecutable: true)
        tar.add("function/\(String(repeating: "n", count: 90))", Data(count: 700), isExecutable: false)
        return Array(tar.finished())
    }

    @Test func `no archive writes outside its folder, whatever its bytes are`() throws {
        var random = SeededGenerator()
        let folder = TemporaryFolder()
        let whole = archive()
        let names = ["../out", "/tmp/out", "a/../../out", "function/../../../out", "./x", "", "a\u{0}b"]
        for round in 0..<300 {
            var bytes = random.mutated(whole)
            if Bool.random(using: &random), bytes.count >= 512 {
                // A name of the worst kind, with a sum that fits.
                let name = names.randomElement(using: &random) ?? ""
                bytes.replaceSubrange(
                    0..<100,
                    with: Array(name.utf8) + [UInt8](repeating: 0, count: 100 - name.utf8.count)
                )
                bytes[156] = [0x30, 0x31, 0x32, 0x35, 0x36].randomElement(using: &random) ?? 0x30
                Self.sum(&bytes)
            }
            let file = "\(folder.path)/archive-\(round)"
            let target = "\(folder.path)/inner/target-\(round)"
            try Data(bytes).write(to: URL(fileURLWithPath: file))
            try FileManager.default.createDirectory(atPath: target, withIntermediateDirectories: true)
            // What it is refused for is another test's matter.
            _ = try? BundleArchive.unpack(file, into: target)
            let outside = try FileManager.default.contentsOfDirectory(atPath: folder.path)
                .filter { $0 != "inner" && !$0.hasPrefix("archive-") }
            let beside = try FileManager.default.contentsOfDirectory(atPath: "\(folder.path)/inner")
                .filter { !$0.hasPrefix("target-") }
            #expect(outside.isEmpty && beside.isEmpty, "\(random) \(outside) \(beside)")
            try? FileManager.default.removeItem(atPath: file)
            try FileManager.default.removeItem(atPath: target)
        }
        #expect(!FileManager.default.fileExists(atPath: "/tmp/out"))
    }

    /// Puts the right sum into a tar header.
    private static func sum(_ bytes: inout [UInt8]) {
        for index in 148..<156 { bytes[index] = 0x20 }
        let sum = bytes[..<512].reduce(0) { $0 + Int($1) }
        let digits = String(sum, radix: 8)
        let field = String(repeating: "0", count: max(0, 6 - digits.count)) + digits
        bytes.replaceSubrange(148..<156, with: Array(field.utf8) + [0, 0x20])
    }
}
