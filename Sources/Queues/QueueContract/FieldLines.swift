// SPDX-License-Identifier: Apache-2.0

package import NIOCore

/// Header fields as lines, each with its CR LF: the form in which calls and answers are kept.
package enum FieldLines {
    /// The fields in their order.
    package static func read(_ lines: ByteBuffer) -> [(name: String, value: String)] {
        String(buffer: lines).split(separator: "\r\n").compactMap { line in
            guard let colon = line.firstIndex(of: ":") else { return nil }
            let value = line[line.index(after: colon)...]
            return (String(line[..<colon]), String(value.drop { $0 == " " || $0 == "\t" }))
        }
    }

    /// The lines of fields.
    package static func write(_ fields: [(name: String, value: String)]) -> ByteBuffer {
        var lines = ByteBuffer()
        for (name, value) in fields { lines.writeString("\(name): \(value)\r\n") }
        return lines
    }
}
