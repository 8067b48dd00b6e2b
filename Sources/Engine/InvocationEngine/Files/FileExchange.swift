// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import Glibc
import NIOCore
import NIOPosix
import ProviderContract

/// One call answered with a file (contract §15.4, mode `static`).
///
/// Files are read on a pool of threads, a piece at a time and only as fast as the client takes them.
final class FileExchange: Origin {
    /// What the request says about the file.
    struct Conditions {
        var path: String
        var isHead: Bool
        var range: String?
        var modifiedSince: String?
    }

    private static let pieceSize = 65_536
    private let loop: any EventLoop
    private let conditions: Conditions
    private var front: FrontConnection?
    private var descriptor: Int32 = -1
    private var left = 0..<0
    private var isReading = false

    init(_ front: FrontConnection, _ conditions: Conditions) {
        self.front = front
        self.conditions = conditions
        loop = front.loopContext.loop
    }

    /// Looks the file up and answers.
    func start(folder: String) {
        let exchange = NIOLoopBound(self, eventLoop: loop)
        let (lookup, path) = (FileLookup(folder: folder), conditions.path)
        NIOThreadPool.singleton.runIfActive(eventLoop: loop) { lookup.find(path) }.whenComplete { outcome in
            exchange.value.found((try? outcome.get()) ?? .nothing)
        }
    }

    private func found(_ result: FileLookup.Result) {
        if case .file(let file) = result { descriptor = file.descriptor }
        guard let front else { return closeFile() }
        switch result {
        case .file(let file): answer(file, front)
        case .elsewhere(let address): answerEmpty(301, front) { $0.writeField("Location", address) }
        case .listing(let page): answerText(200, "text/html; charset=utf-8", page, front)
        case .nothing: answerText(404, "text/plain; charset=utf-8", "404 page not found\n", front)
        case .forbidden: answerText(403, "text/plain; charset=utf-8", "403 Forbidden\n", front)
        }
    }

    private func answer(_ file: FileLookup.OpenFile, _ front: FrontConnection) {
        let modified = HTTPDate.format(secondsSinceEpoch: file.modified)
        let since = conditions.modifiedSince.flatMap(HTTPDate.parse)
        if let since, file.modified <= since {
            return answerEmpty(304, front) { $0.writeField("Last-Modified", modified) }
        }
        let range = ByteRange(conditions.range, size: file.size)
        var status = 200
        switch range {
        case .whole: left = 0..<file.size
        case .part(let part): (status, left) = (206, part)
        case .unsatisfiable:
            return answerEmpty(416, front) { $0.writeField("Content-Range", "bytes */\(file.size)") }
        }
        let part = left
        front.answerHead(status: status, framing: .length(part.count)) { out in
            out.writeField("Content-Type", file.contentType)
            out.writeField("Last-Modified", modified)
            out.writeStaticString("Accept-Ranges: bytes\r\n")
            if status == 206 {
                out.writeField("Content-Range", "bytes \(part.lowerBound)-\(part.upperBound - 1)/\(file.size)")
            }
        }
        if conditions.isHead { left = 0..<0 }
        readNext()
    }

    private func answerEmpty(_ status: Int, _ front: FrontConnection, fields: (inout ByteBuffer) -> Void) {
        front.answerHead(status: status, framing: status == 304 ? .none : .length(0), fields: fields)
        end()
    }

    private func answerText(_ status: Int, _ type: String, _ text: String, _ front: FrontConnection) {
        front.answerHead(status: status, framing: .length(text.utf8.count)) { $0.writeField("Content-Type", type) }
        front.answerBody(ByteBuffer(string: text))
        end()
    }

    // MARK: The file's bytes

    private func readNext() {
        guard !isReading, let front else { return }
        guard !left.isEmpty else { return end() }
        guard front.canTakeAnswer else { return }
        isReading = true
        let exchange = NIOLoopBound(self, eventLoop: loop)
        let (descriptor, offset, count) = (descriptor, left.lowerBound, min(left.count, Self.pieceSize))
        NIOThreadPool.singleton.runIfActive(eventLoop: loop) { Self.read(descriptor, at: offset, count: count) }
            .whenComplete { outcome in exchange.value.took((try? outcome.get()) ?? ByteBuffer()) }
    }

    private static func read(_ descriptor: Int32, at offset: Int, count: Int) -> ByteBuffer {
        var piece = ByteBufferAllocator().buffer(capacity: count)
        piece.writeWithUnsafeMutableBytes(minimumWritableBytes: count) { room in
            max(0, pread(descriptor, room.baseAddress, count, off_t(offset)))
        }
        return piece
    }

    private func took(_ piece: ByteBuffer) {
        isReading = false
        guard let front else { return closeFile() }
        guard piece.readableBytes > 0 else {
            // The file became shorter while it was being sent.
            let front = self.front.take()
            closeFile()
            front?.answerBroke()
            return
        }
        front.loopContext.readClock()
        left = left.lowerBound + piece.readableBytes..<left.upperBound
        front.answerBody(piece)
        front.flushAnswer()
        readNext()
    }

    private func end() {
        closeFile()
        front.take()?.answerEnded(trailers: nil)
    }

    private func closeFile() {
        // While a thread reads, the descriptor is its; `took` comes here again.
        guard descriptor >= 0, !isReading else { return }
        close(descriptor)
        descriptor = -1
    }

    // MARK: Origin

    /// A body has no meaning here and is thrown away.
    var isWritable: Bool { true }

    func takeBody(_ piece: ByteBuffer) {}

    func endBody(trailers: ByteBuffer?) {}

    func flush() {}

    func resumeAnswer() { readNext() }

    func abandon() {
        front = nil
        closeFile()
    }
}

/// Answers each call with a file.
final class FolderSource: OriginSource {
    private let path: String

    init(_ target: FolderTarget) { path = target.path }

    func begin(_ call: OriginCall) { call.front.answerFile(in: path) }
}

extension FrontConnection {
    /// Answers the call with a file.
    fileprivate func answerFile(in folder: String) {
        guard let head else { return }
        let rest = rest
        let conditions = headBytes.withUnsafeReadableBytes { bytes -> FileExchange.Conditions? in
            let path = RequestVariables.path(rest, in: bytes)
            guard let path = RequestVariables.decodedPath(path) else { return nil }
            var conditions = FileExchange.Conditions(path: path, isHead: head.method == .head)
            for field in scanner.fields where field.name == .other {
                let name = field.nameBytes(in: bytes)
                let value = String(decoding: field.valueBytes(in: bytes), as: UTF8.self)
                if equalsIgnoringCase(name, "range") { conditions.range = value }
                if equalsIgnoringCase(name, "if-modified-since") { conditions.modifiedSince = value }
            }
            return conditions
        }
        guard let conditions else {
            return refuse(PlatformFault(.notFound, "No file's name holds an encoded NUL."))
        }
        let exchange = FileExchange(self, conditions)
        origin = exchange
        exchange.start(folder: folder)
        beginBody(head)
    }
}
