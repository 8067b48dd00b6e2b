// SPDX-License-Identifier: Apache-2.0

import Glibc
import NIOCore
import NIOPosix
import ProcessControl
import TestSupport
import Testing

@testable import FunctionProcesses

/// What becomes of the bytes that a process prints.
struct LineReaderTests {
    /// The lines that a pipe gives which was sent these pieces, and was closed then.
    private func lines(_ pieces: [String], limit: Int?) async throws -> [String] {
        let (readEnd, writeEnd) = try ProcessPipe.open()
        let (lines, ended) = read(readEnd, limit: limit)
        for piece in pieces { #expect(write(writeEnd, piece, piece.utf8.count) == piece.utf8.count) }
        close(writeEnd)
        await ended.value()
        return await lines.all
    }

    private func read(_ descriptor: Int32, limit: Int?) -> (Lines, Outcome<Void>) {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let (lines, ended) = (Lines(loop), Outcome<Void>())
        loop.execute {
            LineReader.read(
                descriptor,
                on: loop,
                lineLimit: limit,
                take: { lines.box.value.append($0) },
                ended: { ended.resolve(()) }
            )
        }
        return (lines, ended)
    }

    private struct Lines {
        let box: NIOLoopBoundBox<[String]>
        private let loop: any EventLoop

        init(_ loop: any EventLoop) {
            self.loop = loop
            box = NIOLoopBoundBox.makeBoxSendingValue([], eventLoop: loop)
        }

        var all: [String] { get async { (try? await loop.submit { box.value }.get()) ?? [] } }
    }

    @Test func `a last line without an end is told at the end, not with what comes later`() async throws {
        #expect(try await lines(["one\ntwo"], limit: nil) == ["one", "two"])
        #expect(try await lines(["one\r\n\ntwo\r"], limit: nil) == ["one", "", "two\r"])
        #expect(try await lines([], limit: 100) == [])
    }

    @Test(arguments: [0, 1, -5, Int.min, 15])
    func `a limit that is too small to be one is the smallest, and the loop goes on`(limit: Int) async throws {
        let long = String(repeating: "x", count: 40)
        #expect(try await lines([long + "\nshort\n"], limit: limit) == Self.pieces(long, 16) + ["short"])
        #expect(try await lines(["a\nb\n"], limit: limit) == ["a", "b"])
    }

    @Test func `no line takes more memory than the largest limit`() async throws {
        let (readEnd, writeEnd) = try ProcessPipe.open()
        let (lines, ended) = read(readEnd, limit: nil)
        let chunk = String(repeating: "y", count: 65_536)
        for _ in 0..<17 { #expect(write(writeEnd, chunk, chunk.utf8.count) == chunk.utf8.count) }
        close(writeEnd)
        await ended.value()
        #expect(await lines.all.map(\.utf8.count) == [1_048_576, 65_536])
    }

    @Test(arguments: 16...24)
    func `long lines are cut between characters, and nothing is lost`(limit: Int) async throws {
        let line = "aé€😀" + String(repeating: "😀é€z", count: 30)
        let pieces = try await lines([line + "\n"], limit: limit)
        #expect(pieces.joined() == line)
        #expect(pieces.dropLast().allSatisfy { (limit - 3...limit).contains($0.utf8.count) }, "\(pieces)")
    }

    @Test func `a line as long as may be is one line, whatever ends it`() async throws {
        let line = String(repeating: "x", count: 16)
        for text in [line, line + "\n", line + "\r\n"] { #expect(try await lines([text], limit: 16) == [line]) }
        #expect(try await lines([line + "y\r\nz\n"], limit: 16) == [line, "y", "z"])
        #expect(try await lines([line + "y"], limit: 16) == [line, "y"])
    }

    @Test func `lines that come byte by byte are those that come at once`() {
        let text = "one\r\n\n😀😀😀😀😀😀é\nlast"
        var whole = LineAssembler(limit: 16)
        whole.add(ByteBuffer(string: text))
        var bytewise = LineAssembler(limit: 16)
        var lines: [String] = []
        for byte in text.utf8 {
            bytewise.add(ByteBuffer(bytes: [byte]))
            while let line = bytewise.next() { lines.append(line) }
        }
        while let line = bytewise.next(isLast: true) { lines.append(line) }
        var expected: [String] = []
        while let line = whole.next(isLast: true) { expected.append(line) }
        #expect(lines == expected)
        #expect(lines == ["one", "", "😀😀😀😀", "😀😀é", "last"])
    }

    @Test func `bytes that are no text neither stop it nor grow`() {
        var assembler = LineAssembler(limit: 16)
        assembler.add(ByteBuffer(repeating: 0x80, count: 40))
        var lines: [String] = []
        while let line = assembler.next(isLast: true) { lines.append(line) }
        #expect(lines.map { $0.unicodeScalars.count } == [16, 16, 8])
    }

    @Test func `any pieces of any bytes give the same bytes back, in lines no longer than may be`() {
        var generator = SeededGenerator()
        for _ in 0..<300 {
            let limit = Int.random(in: 0...40, using: &generator)
            let alphabet: [[UInt8]] = [[0x61], [0x0A], [0x0D], [0xC3, 0xA9], [0xF0, 0x9F, 0x98, 0x80]]
            let bytes = (0..<200).flatMap { _ in alphabet.randomElement(using: &generator) ?? [] }
            var assembler = LineAssembler(limit: limit)
            var rest = bytes[...]
            var lines: [String] = []
            while !rest.isEmpty {
                let piece = rest.prefix(Int.random(in: 1...50, using: &generator))
                rest = rest.dropFirst(piece.count)
                assembler.add(ByteBuffer(bytes: piece))
                while let line = assembler.next() { lines.append(line) }
            }
            while let line = assembler.next(isLast: true) { lines.append(line) }
            #expect(lines.allSatisfy { $0.utf8.count <= max(limit, 16) && !$0.contains("\u{FFFD}") }, "\(generator)")
            let expected = String(decoding: bytes, as: UTF8.self).unicodeScalars.filter { $0 != "\n" && $0 != "\r" }
            let got = lines.joined().unicodeScalars.filter { $0 != "\r" }
            #expect(Array(got) == Array(expected), "\(generator)")
        }
    }

    private static func pieces(_ text: String, _ length: Int) -> [String] {
        stride(from: 0, to: text.count, by: length).map { String(text.dropFirst($0).prefix(length)) }
    }
}
