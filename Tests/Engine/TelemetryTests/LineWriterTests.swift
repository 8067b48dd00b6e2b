// SPDX-License-Identifier: Apache-2.0

import Glibc
import ProcessControl
import Telemetry
import TestSupport
import Testing

/// Logs whose reader is slow, or gone.
struct LineWriterTests {
    /// A pipe of the test's own.
    private final class Pipe: Sendable {
        let readEnd: Int32
        let writeEnd: Int32

        init() throws { (readEnd, writeEnd) = try ProcessPipe.open(blocks: true) }

        deinit {
            close(readEnd)
            close(writeEnd)
        }

        /// What can be read by now.
        func contents() -> String {
            _ = fcntl(readEnd, F_SETFL, O_NONBLOCK)
            var bytes = [UInt8](repeating: 0, count: 1 << 20)
            var text: [UInt8] = []
            while true {
                let count = read(readEnd, &bytes, bytes.count)
                guard count > 0 else { return String(decoding: text, as: UTF8.self) }
                text += bytes[..<count]
            }
        }
    }

    private let line = String(repeating: "x", count: 999)

    @Test func `lines are written whole and in order`() async throws {
        let pipe = try Pipe()
        let writer = LineWriter(descriptor: pipe.writeEnd)
        for number in 0..<20 { writer.write("line \(number)") }
        await writer.close()
        #expect(pipe.contents() == (0..<20).map { "line \($0)\n" }.joined())
        #expect(writer.lostLines == 0)
    }

    @Test func `a reader that went away costs its lines, which are counted`() async throws {
        let pipe = try Pipe()
        let writer = LineWriter(descriptor: pipe.writeEnd)
        dup2(open("/dev/null", O_RDONLY | O_CLOEXEC), pipe.readEnd)
        for _ in 0..<3 { writer.write(line) }
        #expect(await eventually { writer.lostLines == 3 })
        writer.write(line)
        await writer.close()
        #expect(writer.lostLines == 4)
        #expect(LineWriter.lostLines >= 4)
    }

    @Test func `a reader that reads nothing does not hold up the end`() async throws {
        let pipe = try Pipe()
        let writer = LineWriter(descriptor: pipe.writeEnd)
        for _ in 0..<200 { writer.write(line) }
        await writer.close(within: .milliseconds(50))
        // A pipe holds 64 KiB.
        #expect(writer.lostLines == 200 - pipe.contents().utf8.count / 1000)
        #expect(writer.lostLines > 100)
    }

    @Test func `a reader that reads late is told how much is missing`() async throws {
        let pipe = try Pipe()
        let writer = LineWriter(descriptor: pipe.writeEnd, limit: 10_000) { "lost \($0)" }
        for _ in 0..<1000 { writer.write(line) }
        #expect(writer.lostLines > 0)
        var text = ""
        #expect(
            await eventually {
                text += pipe.contents()
                return text.contains("lost ")
            }
        )
        await writer.close()
        text += pipe.contents()
        let lines = text.split(separator: "\n")
        let told = lines.filter { $0.hasPrefix("lost ") }.compactMap { Int($0.dropFirst(5)) }.reduce(0, +)
        #expect(told == writer.lostLines)
        #expect(lines.count { $0 == line } + told == 1000)
    }

    @Test func `a line behind the end is lost`() async throws {
        let pipe = try Pipe()
        let writer = LineWriter(descriptor: pipe.writeEnd)
        await writer.close()
        writer.write(line)
        #expect(writer.lostLines == 1)
        #expect(pipe.contents().isEmpty)
    }
}
