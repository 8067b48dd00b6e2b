// SPDX-License-Identifier: Apache-2.0

import AsyncHTTPClient
import Foundation
public import FunctionModel
public import NIOCore
import NIOFoundationCompat

/// Values that an engine sends one by one, a line of JSON each, for as long as the answer lasts.
///
/// Its end and its error mean the same to who follows: nothing more is heard.
public struct EngineLines<Element: Decodable & Sendable>: AsyncSequence, Sendable {
    private let body: HTTPClientResponse.Body

    init(_ body: HTTPClientResponse.Body) { self.body = body }

    /// Begins to read.
    public func makeAsyncIterator() -> Iterator { Iterator(body: body.makeAsyncIterator()) }

    /// Reads one after another.
    public struct Iterator: AsyncIteratorProtocol {
        fileprivate var body: HTTPClientResponse.Body.AsyncIterator
        private var rest = ByteBuffer()
        /// Bytes of the rest in which there is no end of a line.
        private var searched = 0
        /// A line that is longer is no engine's.
        private let limit = 16 * 1_048_576

        fileprivate init(body: HTTPClientResponse.Body.AsyncIterator) { self.body = body }

        /// The next one; nil at the end.
        @concurrent public mutating func next() async throws(EngineFault) -> Element? {
            while true {
                if let line = takeLine() {
                    if line.readableBytes > 1 { return try DockerEngine.decoded(Data(buffer: line)) }
                    continue
                }
                guard rest.readableBytes < limit else { throw .malformed("a line without an end") }
                guard var piece = try await piece() else {
                    guard let line = rest.readSlice(length: rest.readableBytes), line.readableBytes > 1 else {
                        return nil
                    }
                    return try DockerEngine.decoded(Data(buffer: line))
                }
                rest.writeBuffer(&piece)
            }
        }

        @concurrent private mutating func piece() async throws(EngineFault) -> ByteBuffer? {
            do { return try await body.next() } catch { throw .unreachable("\(error)") }
        }

        private mutating func takeLine() -> ByteBuffer? {
            let unknown = rest.readableBytesView.dropFirst(searched)
            guard let end = unknown.firstIndex(of: UInt8(ascii: "\n")) else {
                searched = rest.readableBytes
                return nil
            }
            let line = rest.readSlice(length: end - rest.readerIndex)
            rest.moveReaderIndex(forwardBy: 1)
            rest.discardReadBytes()
            searched = 0
            return line
        }
    }
}

/// A piece of what a container printed.
public struct LogFrame: Sendable, Equatable {
    /// Where it printed it.
    public enum Stream: UInt8, Sendable {
        /// Standard output.
        case output = 1
        /// Standard error.
        case error = 2
    }

    /// Where it printed it.
    public let stream: Stream
    /// When; the parts of a long line have one moment.
    public let time: Timestamp?
    /// What; a line, or a part of a long one.
    public let bytes: ByteBuffer
}

/// Which part of a container's output is wanted.
public struct LogWindow: Sendable {
    /// What was printed behind this moment.
    public var since: Timestamp?
    /// Whether what will be printed is wanted, too.
    public var follow: Bool

    /// Names both.
    public init(since: Timestamp? = nil, follow: Bool) { (self.since, self.follow) = (since, follow) }
}

/// Takes the frames of a container's output out of bytes.
struct LogFrames {
    private var rest = ByteBuffer()

    mutating func add(_ piece: ByteBuffer) {
        rest.discardReadBytes()
        rest.writeImmutableBuffer(piece)
    }

    /// Nil when more has to come first.
    ///
    /// - Throws: `malformed` for what has no frames.
    mutating func next() throws(EngineFault) -> LogFrame? {
        guard rest.readableBytes >= 8, let kind: UInt8 = rest.getInteger(at: rest.readerIndex),
            let length: UInt32 = rest.getInteger(at: rest.readerIndex + 4)
        else { return nil }
        guard kind <= 2, length <= 1 << 24 else { throw .malformed("a frame of a log") }
        guard rest.readableBytes >= 8 + Int(length) else { return nil }
        rest.moveReaderIndex(forwardBy: 8)
        var bytes = rest.readSlice(length: Int(length)) ?? ByteBuffer()
        let time = Self.takeTime(&bytes)
        return LogFrame(stream: LogFrame.Stream(rawValue: kind) ?? .output, time: time, bytes: bytes)
    }

    /// What stands before the first blank.
    private static func takeTime(_ bytes: inout ByteBuffer) -> Timestamp? {
        let head = bytes.readableBytesView.prefix(40)
        guard let blank = head.firstIndex(of: UInt8(ascii: " ")) else { return nil }
        let text = String(decoding: head[..<blank], as: UTF8.self)
        guard let time = Timestamp(text) else { return nil }
        bytes.moveReaderIndex(to: blank + 1)
        return time
    }
}

/// What a container prints, frame by frame.
public struct EngineLog: AsyncSequence, Sendable {
    private let body: HTTPClientResponse.Body

    init(_ body: HTTPClientResponse.Body) { self.body = body }

    /// Begins to read.
    public func makeAsyncIterator() -> Iterator { Iterator(body: body.makeAsyncIterator()) }

    /// Reads one after another.
    public struct Iterator: AsyncIteratorProtocol {
        fileprivate var body: HTTPClientResponse.Body.AsyncIterator
        private var frames = LogFrames()

        fileprivate init(body: HTTPClientResponse.Body.AsyncIterator) { self.body = body }

        /// The next one; nil at the end.
        @concurrent public mutating func next() async throws(EngineFault) -> LogFrame? {
            while true {
                if let frame = try frames.next() { return frame }
                let piece: ByteBuffer?
                do { piece = try await body.next() } catch { throw .unreachable("\(error)") }
                guard let piece else { return nil }
                frames.add(piece)
            }
        }
    }
}

extension DockerEngine {
    /// What happens to containers that have all of these labels, `NAME=VALUE` each, from now on.
    ///
    /// When it returns the engine has begun to tell: what is listed after that misses nothing.
    public func events(containersLabelled labels: [String]) async throws(EngineFault) -> EngineLines<EngineEvent> {
        let data = try? JSONEncoder().encode(["type": ["container"], "label": labels])
        let filters = String(decoding: data ?? Data(), as: UTF8.self)
        return EngineLines(try await open(Question(path: "/events", query: [("filters", filters)])).body)
    }

    /// What a container printed and prints; it ends with the container.
    public func logs(_ container: String, _ window: LogWindow) async throws(EngineFault) -> EngineLog {
        var query = [
            (name: "stdout", value: "true"), ("stderr", "true"), ("timestamps", "true"), ("follow", "\(window.follow)"),
        ]
        if let since = window.since {
            query.append(("since", Self.moment(behind: since)))
        }
        return EngineLog(try await open(Question(path: "/containers/\(container)/logs", query: query)).body)
    }

    /// The next moment after one, as the engine reads it: seconds and nine digits of a fraction.
    static func moment(behind time: Timestamp) -> String {
        let nanoseconds = min(max(0, time.nanosecondsSinceEpoch), .max - 1) + 1
        let (seconds, rest) = nanoseconds.quotientAndRemainder(dividingBy: 1_000_000_000)
        let digits = String(rest)
        return "\(seconds).\(String(repeating: "0", count: 9 - digits.count))\(digits)"
    }

    /// What a container uses, about once a second.
    public func stats(_ container: String) async throws(EngineFault) -> EngineLines<ContainerSample> {
        let question = Question(path: "/containers/\(container)/stats", query: [("stream", "true")])
        return EngineLines(try await open(question).body)
    }
}
