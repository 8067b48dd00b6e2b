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
final class FileOrigin: Origin {
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
    private var exchange: Exchange?
    private var descriptor: Int32 = -1
    private var left = 0..<0
    private var isReading = false

    init(_ exchange: Exchange, _ conditions: Conditions) {
        self.exchange = exchange
        self.conditions = conditions
        loop = exchange.loopContext.loop
    }

    /// Looks the file up and answers.
    func start(folder: String) {
        let origin = NIOLoopBound(self, eventLoop: loop)
        let (lookup, path) = (FileLookup(folder: folder), conditions.path)
        NIOThreadPool.singleton.runIfActive(eventLoop: loop) { lookup.find(path) }.whenComplete { outcome in
            origin.value.found((try? outcome.get()) ?? .nothing)
        }
    }

    private func found(_ result: FileLookup.Result) {
        if case .file(let file) = result { descriptor = file.descriptor }
        guard let exchange else { return closeFile() }
        switch result {
        case .file(let file): answer(file, exchange)
        case .elsewhere(let address): answerEmpty(301, exchange) { $0.writeField("Location", address) }
        case .listing(let page): answerText(200, "text/html; charset=utf-8", page, exchange)
        case .nothing: answerText(404, "text/plain; charset=utf-8", "404 page not found\n", exchange)
        case .forbidden: answerText(403, "text/plain; charset=utf-8", "403 Forbidden\n", exchange)
        }
    }

    private func answer(_ file: FileLookup.OpenFile, _ exchange: Exchange) {
        let modified = HTTPDate.format(secondsSinceEpoch: file.modified)
        let since = conditions.modifiedSince.flatMap(HTTPDate.parse)
        if let since, file.modified <= since {
            return answerEmpty(304, exchange) { $0.writeField("Last-Modified", modified) }
        }
        let range = ByteRange(conditions.range, size: file.size)
        var status = 200
        switch range {
        case .whole: left = 0..<file.size
        case .part(let part): (status, left) = (206, part)
        case .unsatisfiable:
            return answerEmpty(416, exchange) { $0.writeField("Content-Range", "bytes */\(file.size)") }
        }
        let part = left
        exchange.answerHead(status: status, framing: .length(part.count)) { out in
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

    private func answerEmpty(_ status: Int, _ exchange: Exchange, fields: (inout ByteBuffer) -> Void) {
        exchange.answerHead(status: status, framing: status == 304 ? .none : .length(0), fields: fields)
        end()
    }

    private func answerText(_ status: Int, _ type: String, _ text: String, _ exchange: Exchange) {
        exchange.answerHead(status: status, framing: .length(text.utf8.count)) { $0.writeField("Content-Type", type) }
        exchange.answerBody(ByteBuffer(string: text))
        end()
    }

    // MARK: The file's bytes

    private func readNext() {
        guard !isReading, let exchange else { return }
        guard !left.isEmpty else { return end() }
        guard exchange.canTakeAnswer else { return }
        isReading = true
        let origin = NIOLoopBound(self, eventLoop: loop)
        let (descriptor, offset, count) = (descriptor, left.lowerBound, min(left.count, Self.pieceSize))
        NIOThreadPool.singleton.runIfActive(eventLoop: loop) { Self.read(descriptor, at: offset, count: count) }
            .whenComplete { outcome in origin.value.took((try? outcome.get()) ?? ByteBuffer()) }
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
        guard let exchange else { return closeFile() }
        guard piece.readableBytes > 0 else {
            // The file became shorter while it was being sent.
            let exchange = self.exchange.take()
            closeFile()
            exchange?.answerBroke()
            return
        }
        exchange.loopContext.readClock()
        left = left.lowerBound + piece.readableBytes..<left.upperBound
        exchange.answerBody(piece)
        exchange.flushAnswer()
        readNext()
    }

    private func end() {
        closeFile()
        exchange.take()?.answerEnded(trailers: nil)
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
        exchange = nil
        closeFile()
    }
}

/// Answers each call with a file.
final class FolderSource: OriginSource {
    private let path: String

    init(_ target: FolderTarget) { path = target.path }

    func begin(_ call: OriginCall) {
        let exchange = call.exchange
        guard let head = exchange.head else { return }
        let conditions = exchange.headBytes.withUnsafeReadableBytes { FileOrigin.Conditions(exchange, head, in: $0) }
        guard let conditions else {
            return exchange.refuse(PlatformFault(.notFound, "No file's name holds an encoded NUL."))
        }
        let origin = FileOrigin(exchange, conditions)
        exchange.origin = origin
        origin.start(folder: path)
        exchange.carryOut(by: origin)
    }
}

extension FileOrigin.Conditions {
    /// What a call asks for; nil for a path that no file has.
    fileprivate init?(_ exchange: Exchange, _ head: RequestHead, in bytes: UnsafeRawBufferPointer) {
        let path = RequestVariables.path(exchange.rest, in: bytes)
        guard let path = RequestVariables.decodedPath(path) else { return nil }
        self.init(path: path, isHead: head.method == .head)
        for field in exchange.scanner.fields where field.name == .other {
            let name = field.nameBytes(in: bytes)
            let value = String(decoding: field.valueBytes(in: bytes), as: UTF8.self)
            if equalsIgnoringCase(name, "range") { range = value }
            if equalsIgnoringCase(name, "if-modified-since") { modifiedSince = value }
        }
    }
}
