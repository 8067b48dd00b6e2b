// SPDX-License-Identifier: Apache-2.0

import Glibc
public import NIOCore
import NIOPosix

/// Reads what one process prints, line by line.
public enum LineReader {
    /// Most bytes that are read at once: whoever writes without a pause leaves the loop to the others in between.
    private static let readAtOnce = 16_384

    /// Reads from a pipe until its other end is closed everywhere; takes the descriptor over.
    ///
    /// Called on the loop, as is `take`. A line longer than the limit (in bytes, 16 to 1,048,576; nil is the most) comes
    /// in pieces, cut between two characters, so that nothing is lost. What has no line end when the pipe is closed is a
    /// line too. `ended` is called once, behind the last line.
    public static func read(
        _ descriptor: Int32,
        on loop: any EventLoop,
        lineLimit: Int?,
        take: @escaping (String) -> Void,
        ended: @escaping () -> Void = {}
    ) {
        let handler = NIOLoopBound(LineHandler(LineAssembler(limit: lineLimit), take, ended), eventLoop: loop)
        // A channel that is there closes the descriptor, however its making ends.
        let isTaken = NIOLoopBoundBox(false, eventLoop: loop)
        NIOPipeBootstrap(group: loop)
            .channelOption(.maxMessagesPerRead, value: 1)
            .channelOption(
                .recvAllocator,
                value: AdaptiveRecvByteBufferAllocator(minimum: 64, initial: 1024, maximum: readAtOnce)
            )
            .channelInitializer { channel in
                isTaken.value = true
                return channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(handler.value)
                }
            }
            .takingOwnershipOfDescriptor(input: descriptor)
            .whenFailure { _ in
                if !isTaken.value { close(descriptor) }
                handler.value.end()
            }
    }
}

private final class LineHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private var assembler: LineAssembler
    private let take: (String) -> Void
    private var ended: (() -> Void)?

    init(_ assembler: LineAssembler, _ take: @escaping (String) -> Void, _ ended: @escaping () -> Void) {
        self.assembler = assembler
        self.take = take
        self.ended = ended
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        assembler.add(unwrapInboundIn(data))
        while let line = assembler.next() { take(line) }
    }

    func channelInactive(context: ChannelHandlerContext) {
        while let line = assembler.next(isLast: true) { take(line) }
        end()
    }

    func end() {
        ended?()
        ended = nil
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
