// SPDX-License-Identifier: Apache-2.0

public import NIOCore
import NIOPosix

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// Reads what a process prints, line by line.
public enum LineReader {
    /// Reads from a pipe until its other end is closed everywhere; takes the descriptor over.
    ///
    /// Called on the loop, as is `take`. A line longer than the limit (in bytes; nil means none) comes in pieces, so
    /// that nothing is lost. `ended` is called once, behind the last line.
    public static func read(
        _ descriptor: Int32,
        on loop: any EventLoop,
        lineLimit: Int?,
        take: @escaping (String) -> Void,
        ended: @escaping () -> Void = {}
    ) {
        let handler = NIOLoopBound(LineHandler(lineLimit: lineLimit, take: take, ended: ended), eventLoop: loop)
        NIOPipeBootstrap(group: loop)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(handler.value) }
            }
            .takingOwnershipOfDescriptor(input: descriptor)
            .whenFailure { _ in
                close(descriptor)
                handler.value.end()
            }
    }
}

private final class LineHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let lineLimit: Int
    private let take: (String) -> Void
    private var ended: (() -> Void)?
    private var rest = ByteBuffer()

    init(lineLimit: Int?, take: @escaping (String) -> Void, ended: @escaping () -> Void) {
        self.lineLimit = lineLimit ?? .max
        self.take = take
        self.ended = ended
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var piece = unwrapInboundIn(data)
        rest.writeBuffer(&piece)
        while let line = nextLine() { take(line) }
        rest.discardReadBytes()
    }

    func channelInactive(context: ChannelHandlerContext) {
        if rest.readableBytes > 0 { take(String(buffer: rest)) }
        end()
    }

    func end() {
        ended?()
        ended = nil
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    /// A line, or so much of one as may be in a line: a longer one is cut, not lost.
    private func nextLine() -> String? {
        let view = rest.readableBytesView
        guard let end = view.prefix(lineLimit == .max ? view.count : lineLimit + 1).firstIndex(of: 0x0A) else {
            guard view.count >= lineLimit else { return nil }
            return rest.readString(length: lineLimit)
        }
        let length = end - view.startIndex
        var line = rest.readString(length: length) ?? ""
        rest.moveReaderIndex(forwardBy: 1)
        if line.hasSuffix("\r") { line.removeLast() }
        return line
    }
}
