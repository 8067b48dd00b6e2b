// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
import GatewayService
import Glibc
import ProcessControl
import Synchronization
import TestSupport
import Testing

@testable import CommandLineTool

/// What goes from a program to the one that takes its place, and what is closed once.
struct HandOverMailTests {
    private let folder = TemporaryFolder()

    private func pair() async throws -> (MessageSocket, MessageSocket, MessageListener) {
        let listener = try #require(MessageListener(folder: folder.path, name: "name"))
        let one = try #require(MessageSocket.connect(folder: folder.path, name: "name"))
        var connections = listener.connections().makeAsyncIterator()
        return (one, try #require(await connections.next()), listener)
    }

    private func descriptor() -> CInt { open("/dev/null", O_RDONLY | O_CLOEXEC) }

    @Test func `whoever waits for the mail waits for all of it, however late it is read`() async throws {
        let (here, there, listener) = try await pair()
        defer { listener.end() }
        let mail = HandOverMail(to: here)
        // More than the system keeps.
        let count = 1500
        let connection = descriptor()
        for _ in 0..<count { mail.send(dup(connection), of: .api) }
        close(connection)
        async let lost = mail.lost()
        var received = 0
        for await message in there.messages() {
            #expect(message.text == "connection api" && message.descriptors.count == 1)
            for descriptor in message.descriptors { close(descriptor) }
            received += 1
            if received == count { break }
        }
        #expect(await lost == 0)
    }

    @Test func `a successor that does not read is waited for once`() async throws {
        let (here, there, listener) = try await pair()
        defer { listener.end() }
        let mail = HandOverMail(to: here, patience: 10)
        let connection = descriptor()
        for _ in 0..<1500 { mail.send(dup(connection), of: .page) }
        close(connection)
        #expect(await mail.lost() > 0)
        #expect(there.receive()?.descriptors.map { close($0) } == [0])
    }

    @Test func `who wants to close what is being closed waits until it is`() async {
        let closing = Closing()
        let (begun, end) = (Outcome<Void>(), Outcome<Void>())
        let closed = Tally()
        async let first: Void = closing.close {
            begun.resolve(())
            await end.value()
            closed.sum.withLock { $0 += 1 }
        }
        await begun.value()
        async let second: Int = {
            await closing.close { closed.sum.withLock { $0 += 10 } }
            return closed.sum.withLock { $0 }
        }()
        #expect(closed.sum.withLock { $0 } == 0)
        end.resolve(())
        await first
        #expect(await second == 1)
    }

    @Test func `what is wrong with the credentials is found beside whoever uses the data directory`() throws {
        func check(_ environment: [String: String] = [:]) throws {
            try PlatformSettings(flags: ["data-dir": folder.path], environment: environment, readFile: { _ in nil })
                .checkForReplacing(isWhole: true)
        }
        try check()
        _ = folder.write("lock", "")
        try check()
        _ = folder.write("basic-auth-password", "\n")
        let fault = #expect(throws: PlatformFault.self) { try check() }
        #expect(fault?.code == .badSettings)
        try check(["MARTLET_AUTH": "false"])
    }
}

/// A number that several tasks add to.
private final class Tally: Sendable {
    let sum = Mutex(0)
}
