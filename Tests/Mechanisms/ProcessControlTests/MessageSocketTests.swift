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
