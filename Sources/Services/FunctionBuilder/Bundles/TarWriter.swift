// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation

/// Writes a tar archive (POSIX ustar with pax names) that depends on nothing but its entries.
struct TarWriter {
    private(set) var data = Data()

    /// Adds a file.
    mutating func add(_ path: String, _ content: Data, isExecutable: Bool) {
        let name = Array(path.utf8)
        if name.count > 100 { addPaxPath(path) }
        addBlock(name: Array(name.prefix(100)), size: content.count, mode: isExecutable ? 0o755 : 0o644, kind: "0")
        pad(content)
    }

    /// The archive with its end.
    func finished() -> Data { data + Data(count: 1024) }

    private mutating func addPaxPath(_ path: String) {
        // The record's length counts its own digits.
        let body = " path=\(path)\n"
        var length = body.utf8.count + 2
        while "\(length)".utf8.count + body.utf8.count != length { length += 1 }
        let record = Data("\(length)\(body)".utf8)
        addBlock(name: Array("pax".utf8), size: record.count, mode: 0o644, kind: "x")
        pad(record)
    }

    private mutating func pad(_ content: Data) {
        data.append(content)
        data.append(Data(count: (512 - content.count % 512) % 512))
    }

    private mutating func addBlock(name: [UInt8], size: Int, mode: Int, kind: Unicode.Scalar) {
        var block = [UInt8](repeating: 0, count: 512)
        func put(_ bytes: [UInt8], at offset: Int) { block.replaceSubrange(offset..<offset + bytes.count, with: bytes) }
        func octal(_ value: Int, _ digits: Int) -> [UInt8] {
            let text = String(value, radix: 8)
            return Array((String(repeating: "0", count: max(0, digits - text.count)) + text).utf8)
        }
        put(name, at: 0)
        put(octal(mode, 7), at: 100)
        put(octal(0, 7), at: 108)
        put(octal(0, 7), at: 116)
        put(octal(size, 11), at: 124)
        put(octal(0, 11), at: 136)
        put([UInt8](repeating: 0x20, count: 8), at: 148)
        block[156] = UInt8(kind.value)
        put(Array("ustar\0".utf8) + Array("00".utf8), at: 257)
        let sum = block.reduce(0) { $0 + Int($1) }
        put(octal(sum, 6) + [0, 0x20], at: 148)
        data.append(contentsOf: block)
    }
}
