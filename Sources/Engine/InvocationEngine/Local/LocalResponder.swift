// SPDX-License-Identifier: Apache-2.0

public import NIOCore

/// Answers requests that are no invocations: control routes, the page for people, health.
///
/// The front door owns the connection and the protocol; a responder sees one request and writes one answer.
public protocol LocalResponder: Sendable {
    /// Answers one request.
    ///
    /// Runs in a task of its own, which is cancelled when the client goes away. The writer must have been given a head
    /// when this returns; the front door ends the message. Nothing may be written after it returned.
    func respond(to request: LocalRequest, body: LocalRequestBody, writer: any LocalResponseWriter) async
}

/// The head of a request as it came, already checked for the protocol's rules.
public struct LocalRequest: Sendable {
    /// The method, in the case of the client.
    public var method: String
    /// Path and query, undecoded.
    public var target: String
    /// Header fields in their order; framing and hop-by-hop fields left out.
    public var headers: [(name: String, value: String)]
    /// The length that the client announced; nil for chunked, 0 for none.
    public var contentLength: Int?
    /// The client's address without port; nil for a socket without one.
    public var clientAddress: String?

    /// Makes a head.
    public init(
        method: String,
        target: String,
        headers: [(name: String, value: String)],
        contentLength: Int?,
        clientAddress: String?
    ) {
        self.method = method
        self.target = target
        self.headers = headers
        self.contentLength = contentLength
        self.clientAddress = clientAddress
    }

    /// The first value of a field, by case-insensitive name.
    public func header(_ name: String) -> String? {
        headers.first { $0.name.utf8.count == name.utf8.count && $0.name.lowercased() == name.lowercased() }?.value
    }
}

/// The body of a request, read from the connection only as fast as it is consumed.
///
/// One iteration only.
///
/// Iterating throws a fault when the client's message breaks off or breaks the protocol.
public struct LocalRequestBody: AsyncSequence, Sendable {
    /// A piece of the body, never empty.
    public typealias Element = ByteBuffer
    typealias Producer = NIOThrowingAsyncSequenceProducer<
        ByteBuffer,
        any Error,
        NIOAsyncSequenceProducerBackPressureStrategies.HighLowWatermark,
        LocalBodyDelegate
    >

    let stream: Producer?

    /// Begins to read.
    public func makeAsyncIterator() -> Iterator { Iterator(inner: stream?.makeAsyncIterator()) }

    /// Reads the body.
    public struct Iterator: AsyncIteratorProtocol {
        var inner: Producer.AsyncIterator?

        /// The next piece; nil at the end.
        @concurrent
        public mutating func next() async throws -> ByteBuffer? { try await inner?.next() }
    }
}

/// Writes the answer to one request.
public protocol LocalResponseWriter: Sendable {
    /// Writes status and header fields. Once, first. Without a `Content-Length` the body goes out chunked.
    func writeHead(status: Int, headers: [(name: String, value: String)]) async throws

    /// Writes and flushes a piece of the body; returns when there is room for the next one.
    ///
    /// Throws when the client is gone.
    func write(_ bytes: ByteBuffer) async throws
}
