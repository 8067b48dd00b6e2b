// SPDX-License-Identifier: Apache-2.0

import Glibc
import NIOCore
import NIOPosix
import TestSupport
import Testing

@testable import InvocationEngine

/// The way out of a connection, over real sockets.
struct WriteBufferTests {
    @Test func `what is small goes out with the next flush, in its order`() async throws {
        let pair = try await SocketPair()
        try await pair.send { writeBuffer in
            writeBuffer.bytes.writeString("head ")
            writeBuffer.write(ByteBuffer(string: "body "))
            writeBuffer.bytes.writeString("end")
            #expect(writeBuffer.bytes.readableBytes == 13)
            writeBuffer.flush()
            #expect(writeBuffer.bytes.readableBytes == 0)
        }
        #expect(try await pair.receive(13) == "head body end")
        try await pair.close()
    }

    @Test func `a large piece goes out at once, behind what was gathered`() async throws {
        let pair = try await SocketPair()
        let piece = String(repeating: "x", count: 20_000)
        try await pair.send { writeBuffer in
            writeBuffer.bytes.writeString("head ")
            writeBuffer.write(ByteBuffer(string: piece))
            #expect(writeBuffer.bytes.readableBytes == 0)
        }
        #expect(try await pair.receive(20_005) == "head " + piece)
        try await pair.close()
    }

    @Test(arguments: [false, true])
    func `what a full socket does not take waits, and nothing overtakes it`(encodes: Bool) async throws {
        let pair = try await SocketPair(encodes: encodes)
        // More than two sockets' buffers hold, in pieces of both kinds, each with its number.
        let pieces = (0..<600).map { "\($0)," + String(repeating: "y", count: $0 % 3 == 0 ? 60_000 : 40) }
        try await pair.send { writeBuffer in
            for piece in pieces[..<300] { writeBuffer.send(piece) }
            #expect(writeBuffer.waitsForChannel == !encodes)
        }
        let text = pieces.joined()
        async let received = pair.receive(text.utf8.count)
        // The socket has room again and again while the channel still holds something.
        for piece in pieces[300...] { try await pair.send { $0.send(piece) } }
        #expect(try await received == text)
        // The socket is empty again: what comes now goes there and arrives all the same.
        try await pair.send { writeBuffer in
            #expect(!writeBuffer.waitsForChannel)
            writeBuffer.bytes.writeString("last")
            writeBuffer.flush()
        }
        #expect(try await pair.receive(4) == "last")
        try await pair.close()
    }

    @Test(arguments: [false, true])
    func `what is asked for while the channel takes bytes goes behind them, once`(encodes: Bool) async throws {
        let pair = try await SocketPair(encodes: encodes, answer: "more")
        let gathered = String(repeating: "g", count: 200_000)
        try await pair.send { writeBuffer in
            writeBuffer.bytes.writeString(gathered)
            writeBuffer.flush()
        }
        let count = encodes ? 200_004 : 200_000
        #expect(try await pair.receive(count) == gathered + (encodes ? "more" : ""))
        try await pair.close()
    }

    @Test func `the descriptor of a closed channel is left alone, whoever has its number now`() async throws {
        // Another test may take the number first; then with the next connection.
        var ends: [CInt]?
        for _ in 0..<20 where ends == nil {
            let pair = try await SocketPair()
            ends = try await pair.send { writeBuffer in
                let number = try #require(try pair.descriptor())
                pair.sender.value.context?.close(promise: nil)
                guard let ends = Self.pipe(writingTo: number) else { return nil }
                writeBuffer.bytes.writeString("for a connection that is no more")
                writeBuffer.flush()
                return ends
            }
            try await pair.close()
        }
        let pipe = try #require(ends)
        var room = [UInt8](repeating: 0, count: 64)
        #expect(fcntl(pipe[0], F_SETFL, O_NONBLOCK) == 0)
        #expect(read(pipe[0], &room, 64) == -1 && errno == EAGAIN)
        for end in pipe { Glibc.close(end) }
    }

    /// A pipe whose writing end has a certain number; nil when somebody else has it.
    private static func pipe(writingTo number: CInt) -> [CInt]? {
        var ends: [CInt] = [0, 0]
        guard Glibc.pipe(&ends) == 0 else { return nil }
        if ends[1] == number { return ends }
        if ends[0] == number { ends[0] = fcntl(number, F_DUPFD_CLOEXEC, number + 1); close(number) }
        let copy = fcntl(ends[1], F_DUPFD_CLOEXEC, number)
        close(ends[1])
        if copy == number { return [ends[0], copy] }
        for end in [ends[0], copy] { close(end) }
        return nil
    }
}

extension WriteBuffer {
    fileprivate func send(_ text: String) {
        write(ByteBuffer(string: text))
        flush()
    }
}

/// A connection with an writeBuffer at one end, and a client that reads when a test asks at the other.
private final class SocketPair: Sendable {
    final class Sender: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        let writeBuffer = WriteBuffer()
        private let encodes: Bool
        private var answer: String
        private(set) var context: ChannelHandlerContext?

        init(encodes: Bool, answer: String) {
            self.encodes = encodes
            self.answer = answer
        }

        /// Sends its answer, once, when there is room again.
        func channelWritabilityChanged(context: ChannelHandlerContext) {
            guard context.channel.isWritable, !answer.isEmpty else { return }
            writeBuffer.bytes.writeString(answer)
            answer = ""
            writeBuffer.flush()
        }

        func handlerAdded(context: ChannelHandlerContext) {
            self.context = context
            writeBuffer.open(context, encodes: encodes)
        }
    }

    let sender: NIOLoopBound<Sender>
    private let loop: any EventLoop
    private let listener: any Channel
    private let client: RawConnection

    init(encodes: Bool = false, answer: String = "") async throws {
        let loop = MultiThreadedEventLoopGroup.singleton.any()
        let accepted = loop.makePromise(of: NIOLoopBound<Sender>.self)
        listener = try await ServerBootstrap(group: loop)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let sender = Sender(encodes: encodes, answer: answer)
                    try channel.pipeline.syncOperations.addHandler(sender)
                    accepted.succeed(NIOLoopBound(sender, eventLoop: loop))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        client = try RawConnection(port: listener.localAddress?.port ?? 0)
        self.loop = loop
        sender = try await accepted.futureResult.get()
    }

    /// Uses the writeBuffer, on its event loop.
    @discardableResult
    func send<Value: Sendable>(_ use: @escaping @Sendable (WriteBuffer) throws -> Value) async throws -> Value {
        let sender = sender
        return try await loop.submit { try use(sender.value.writeBuffer) }.get()
    }

    func receive(_ count: Int) async throws -> String {
        String(decoding: try await client.receive(count: count), as: UTF8.self)
    }

    /// The number of the writeBuffer's socket; on the event loop.
    func descriptor() throws -> CInt? {
        try sender.value.context?.pipeline.syncOperations
            .withUnsafeTransportIfAvailable(of: NIOBSDSocket.Handle.self) { $0 }
    }

    func close() async throws {
        client.close()
        try await listener.close()
    }
}
