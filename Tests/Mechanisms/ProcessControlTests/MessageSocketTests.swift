// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
import TestSupport
import Testing

@testable import ProcessControl

struct MessageSocketTests {
    private let folder = TemporaryFolder()

    private func pair(in folder: String) async throws -> (MessageSocket, MessageSocket, MessageListener) {
        let listener = try #require(MessageListener(folder: folder, name: "name"))
        let one = try #require(MessageSocket.connect(folder: folder, name: "name"))
        var connections = listener.connections().makeAsyncIterator()
        return (one, try #require(await connections.next()), listener)
    }

    @Test func `messages keep their bounds and bring descriptors, and each side knows who the other is`() async throws {
        let (one, other, listener) = try await pair(in: folder.path)
        defer { listener.end() }
        let (readEnd, writeEnd) = try ProcessPipe.open(blocks: true)
        #expect(one.send(.init("first", [writeEnd])) && one.send(.init("second")))
        close(writeEnd)
        let first = try #require(other.receive())
        #expect(first.text == "first" && first.descriptors.count == 1)
        #expect(await other.next()?.text == "second")
        let copy = try #require(first.descriptors.first)
        #expect(fcntl(copy, F_GETFD) & FD_CLOEXEC != 0)
        #expect(write(copy, "x", 1) == 1)
        close(copy)
        var byte: UInt8 = 0
        #expect(read(readEnd, &byte, 1) == 1 && byte == UInt8(ascii: "x"))
        close(readEnd)
        let peer = try #require(other.peer)
        #expect(peer.user == geteuid() && peer.process == getpid())
    }

    @Test func `the end of the other side is heard, and silence is not waited for longer than asked`() async throws {
        var (one, other, listener): (MessageSocket?, MessageSocket, MessageListener) = try await pair(in: folder.path)
        defer { listener.end() }
        #expect(other.receive(within: 1) == nil)
        one?.send(.init("last"))
        one = nil
        var heard: [String] = []
        for await message in other.messages() { heard.append(message.text) }
        #expect(heard == ["last"])
        #expect(!other.send(.init("too late")))
    }

    @Test func `a signal that comes meanwhile is not the end`() async throws {
        let (one, other, listener) = try await pair(in: folder.path)
        defer { listener.end() }
        signal(SIGURG) { _ in }
        let thread = Outcome<pthread_t>()
        let heard = Outcome<String?>()
        NamedThread.start("waits") {
            // Threads of the concurrency runtime, and those that they start, have all signals blocked.
            var signals = sigset_t()
            sigfillset(&signals)
            pthread_sigmask(SIG_UNBLOCK, &signals, nil)
            thread.resolve(pthread_self())
            heard.resolve(other.receive(within: 60_000)?.text)
        }
        let waiting = await thread.value()
        var signals = 0
        _ = await eventually {
            signals += 1
            return pthread_kill(waiting, SIGURG) != 0 || signals == 10
        }
        #expect(signals == 10)
        one.send(.init("later"))
        #expect(await heard.value() == "later")
    }

    @Test func `a message that does not come whole is left out, and is not the end`() async throws {
        let (one, other, listener) = try await pair(in: folder.path)
        defer { listener.end() }
        one.send(.init(String(repeating: "long", count: 2000)))
        one.send(.init("short"))
        #expect(other.receive()?.text == "short")
    }

    @Test(arguments: [EINTR, ECONNABORTED, EMFILE, ENFILE, ENOBUFS, ENOMEM])
    func `what passes does not end the waiting for connections`(error: Int32) throws {
        let listener = try #require(MessageListener(folder: folder.path, name: "name"))
        #expect(listener.goesOn(after: error))
        #expect(listener.failure == nil)
    }

    @Test func `why nobody can connect any more is told, unless it was wanted`() async throws {
        let listener = try #require(MessageListener(folder: folder.path, name: "name"))
        let ended = try #require(MessageListener(folder: folder.path, name: "other"))
        #expect(!listener.goesOn(after: EBADF))
        #expect(listener.failure == "Bad file descriptor")
        ended.end()
        for await _ in ended.connections() {}
        #expect(ended.failure == nil)
    }

    @Test func `who ends without having read is heard to the last word`() async throws {
        var (one, other, listener): (MessageSocket?, MessageSocket, MessageListener) = try await pair(in: folder.path)
        defer { listener.end() }
        other.send(.init("unread"))
        one?.send(.init("last"))
        #expect(!other.hasEnded)
        one = nil
        #expect(other.receive()?.text == "last")
        #expect(other.receive() == nil && other.hasEnded)
    }

    @Test func `who is sent more than it reads is waited for no longer than was said`() async throws {
        let (one, other, listener) = try await pair(in: folder.path)
        defer { listener.end() }
        one.limitSending(to: 1)
        var sent = 0
        while sent < 100_000, one.send(.init("\(sent)")) { sent += 1 }
        #expect(sent > 0 && sent < 100_000)
        #expect(other.receive()?.text == "0")
    }

    @Test func `a wait that is cancelled ends`() async throws {
        let (one, other, listener) = try await pair(in: folder.path)
        defer { listener.end() }
        let waiting = Task { await one.next() }
        waiting.cancel()
        #expect(await waiting.value == nil)
        #expect(other.receive() == nil)
    }

    @Test func `a folder's path may be longer than an address, and a name is taken from who is gone`() async throws {
        let deep = folder.path + "/" + String(repeating: "long", count: 50)
        try FileManager.default.createDirectory(atPath: deep, withIntermediateDirectories: true)
        #expect(MessageSocket.connect(folder: deep, name: "name") == nil)
        for _ in 0..<2 {
            let (one, other, listener) = try await pair(in: deep)
            one.send(.init("here"))
            #expect(other.receive()?.text == "here")
            listener.end()
        }
    }

    @Test func `a socket knows its port`() throws {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        listen(descriptor, 1)
        #expect((SocketName.port(of: descriptor) ?? 0) > 0)
        #expect(SocketName.port(of: -1) == nil)
    }
}
