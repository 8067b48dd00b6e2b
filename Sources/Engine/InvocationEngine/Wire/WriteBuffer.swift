// SPDX-License-Identifier: Apache-2.0

import Glibc
import NIOCore

/// The way out of a connection: gathers what is small and sends it in one go, straight to the socket where it can.
///
/// A write and a flush through a channel's pipeline cost several times what the system call's own wrapper does, for
/// every message in each direction. So bytes go to the socket itself, as long as nothing waits in the channel; what the
/// socket does not take at once is handed to the channel, which knows how to wait, and until that is out everything
/// else goes behind it. Errors are the channel's too: what failed is handed over, and fails there again.
final class WriteBuffer {
    /// What goes out with the next flush; heads and other small things are written here.
    var bytes = ByteBuffer()
    private var context: ChannelHandlerContext?
    /// Nil where bytes must go through the channel, to be encrypted say.
    private var socket: Socket?
    /// Writes that the channel has not carried out yet.
    private var unsent = 0
    /// A larger piece is sent from where it lies.
    private static let mostToCopy = 8192
    /// Storage that one large answer needed is not kept for the next.
    private static let mostToKeep = 65_536

    private struct Socket {
        let channel: any Channel
        let descriptor: NIOBSDSocket.Handle
    }

    /// Whether the socket was full, and the channel still holds what it did not take.
    var waitsForChannel: Bool { unsent > 0 }

    /// Begins to send by a handler's context; `encodes` says whether another handler must see the bytes first.
    func open(_ context: ChannelHandlerContext, encodes: Bool) {
        self.context = context
        guard !encodes else { return }
        let descriptor = try? context.pipeline.syncOperations
            .withUnsafeTransportIfAvailable(of: NIOBSDSocket.Handle.self) { $0 }
        socket = descriptor.map { Socket(channel: context.channel, descriptor: $0) }
    }

    /// The channel has ended, or its handler is out of it.
    func close() {
        context = nil
        socket = nil
    }

    /// Takes a piece of a body: a small one goes out with the next flush, a large one at once.
    ///
    /// Where there is no connection all of it is gathered, for `takeBytes`.
    @inline(__always)
    func write(_ piece: ByteBuffer) {
        if piece.readableBytes <= Self.mostToCopy || context == nil {
            bytes.writeImmutableBuffer(piece)
        } else {
            send(piece)
        }
    }

    /// Sends what was gathered.
    func flush() {
        guard bytes.readableBytes > 0 else { return }
        let sent = withSocket { socket in bytes.withUnsafeReadableBytes { Self.send($0, to: socket) } }
        guard sent < bytes.readableBytes else { return forget() }
        handOver(takeBytes(behind: sent), ByteBuffer())
    }

    /// Takes back what was gathered, for somebody who has no connection.
    func takeBytes() -> ByteBuffer {
        let taken = bytes
        bytes = ByteBuffer()
        return taken
    }

    /// Sends what was gathered and a piece behind it.
    private func send(_ piece: ByteBuffer) {
        let sent = withSocket { socket in
            bytes.withUnsafeReadableBytes { first in
                piece.withUnsafeReadableBytes { second in Self.send(first, second, to: socket) }
            }
        }
        let gathered = bytes.readableBytes
        guard sent < gathered + piece.readableBytes else { return forget() }
        var piece = piece
        piece.moveReaderIndex(forwardBy: max(0, sent - gathered))
        handOver(takeBytes(behind: min(sent, gathered)), piece)
    }

    /// Taken before they are handed over: the channel may ask for more while it takes them.
    private func takeBytes(behind sent: Int) -> ByteBuffer {
        var rest = takeBytes()
        rest.moveReaderIndex(forwardBy: sent)
        return rest
    }

    /// Keeps no room while nothing is gathered.
    func giveRoomBack(_ nothing: ByteBuffer) {
        if bytes.readableBytes == 0 { bytes = nothing }
    }

    /// Drops what was gathered.
    func forget() {
        if bytes.storageCapacity > Self.mostToKeep { bytes = ByteBuffer() } else { bytes.clear() }
    }

    // MARK: The socket

    /// Bytes that the socket took; 0 where it must not be used.
    ///
    /// A channel that has closed may have given its descriptor's number to somebody else. It is closed on this event
    /// loop alone, and says so before anybody is called, so looking first is enough.
    @inline(__always)
    private func withSocket(_ send: (NIOBSDSocket.Handle) -> Int) -> Int {
        guard !waitsForChannel, let socket, socket.channel.isActive else { return 0 }
        return max(0, send(socket.descriptor))
    }

    /// `send` rather than `write`, which looks for a file behind the descriptor first.
    @inline(__always)
    private static func send(_ bytes: UnsafeRawBufferPointer, to socket: NIOBSDSocket.Handle) -> Int {
        Glibc.send(socket, bytes.baseAddress, bytes.count, noSignal)
    }

    private static func send(
        _ first: UnsafeRawBufferPointer,
        _ second: UnsafeRawBufferPointer,
        to socket: NIOBSDSocket.Handle
    ) -> Int {
        withUnsafeTemporaryAllocation(of: iovec.self, capacity: 2) { parts in
            parts.initializeElement(at: 0, to: part(first))
            parts.initializeElement(at: 1, to: part(second))
            var message = msghdr()
            message.msg_iov = parts.baseAddress
            message.msg_iovlen = 2
            return sendmsg(socket, &message, noSignal)
        }
    }

    /// A client that has gone is an error of the call, not a signal to the process.
    private static var noSignal: CInt { CInt(MSG_NOSIGNAL) }

    private static func part(_ bytes: UnsafeRawBufferPointer) -> iovec {
        iovec(iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), iov_len: bytes.count)
    }

    // MARK: The channel

    private func handOver(_ first: ByteBuffer, _ second: ByteBuffer) {
        guard let context else { return }
        context.write(NIOAny(first), promise: nil)
        guard socket != nil else { return context.writeAndFlush(NIOAny(second), promise: nil) }
        unsent += 1
        let written = context.eventLoop.makePromise(of: Void.self)
        written.futureResult.assumeIsolated().whenComplete { [self] _ in unsent -= 1 }
        context.writeAndFlush(NIOAny(second), promise: written)
    }
}
