// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
import InvocationEngine
import NIOCore
import Synchronization
import TestSupport
import Testing

/// Bodies that are held until they are whole: in memory, then on disk, then not at all.
struct HeldBodyTests {
    private final class Kept: CallIntake {
        let bodyLimit = 16_777_216
        private let all = Mutex<[String]>([])

        var bodies: [String] { all.withLock { $0 } }

        func accept(_ request: IntakeRequest, done: @escaping @Sendable (Result<IntakeReceipt, PlatformFault>) -> Void)
        {
            all.withLock { $0.append(String(buffer: request.body)) }
            done(.success(IntakeReceipt(id: "id", callID: "id", isDuplicate: false)))
        }
    }

    private let folder = TemporaryFolder()
    private let kept = Kept()

    private func settings(memory: Int, disk: Int, folder: String? = nil) -> EngineSettings {
        EngineSettings(
            bodyMemory: memory,
            bodyDisk: disk,
            bodyFolder: folder ?? self.folder.path,
            servedBy: "martlet/test",
            intake: kept
        )
    }

    /// Text that shows where a piece of it is from, with the end of a head at its own end.
    private func text(_ length: Int) -> String {
        String((0..<length / 7).map { String($0 + 1_000_000) }.joined().prefix(length - 4)) + "\r\n\r\n"
    }

    private func later(_ length: Int, _ fields: String = "") -> String {
        "POST /async-function/fn HTTP/1.1\r\nHost: gw\r\n\(fields)Content-Length: \(length)\r\n\r\n"
    }

    private func inChunks(_ body: String) -> String {
        let chunk = "\(String(body.utf8.count, radix: 16))\r\n\(body)\r\n0\r\n\r\n"
        return "POST /async-function/fn HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked\r\n\r\n\(chunk)"
    }

    @Test(arguments: [0, 50_000, 400_000])
    func `a body for later is kept whole, wherever it was held, and leaves nothing behind`(memory: Int) async throws {
        let fixture = try await EngineFixture(settings: settings(memory: memory, disk: 2_000_000))
        let body = text(300_001)
        for request in [later(body.utf8.count) + body, inChunks(body)] {
            let clients = try (0..<3).map { _ in try RawConnection(port: fixture.port) }
            for client in clients { try await client.send(request) }
            for client in clients {
                #expect(try await client.receive(until: "X-Martlet-Call-Id").hasPrefix("HTTP/1.1 202 "))
            }
        }
        #expect(kept.bodies.count == 6 && kept.bodies.allSatisfy { $0 == body })
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
    }

    @Test(arguments: [0, 50_000, 400_000])
    func `a function that wants bodies whole gets them whole, wherever they were held`(memory: Int) async throws {
        let buffers = ["http_buffer_req_body": "true"]
        let fixture = try await EngineFixture(
            environment: buffers,
            settings: settings(memory: memory, disk: 2_000_000)
        ) { request in request.hasPrefix("1") ? [.send(EngineFixture.ok)] : [] }
        let body = text(300_001)
        let client = try RawConnection(port: fixture.port)
        let request = "POST /function/fn HTTP/1.1\r\nHost: gw\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
        // Each behind the other's body, the last one with a connection that ends.
        try await client.send(request + request + request.replacing("Host: gw", with: "Host: gw\r\nConnection: close"))
        for _ in 0..<3 {
            #expect(await fixture.origin.nextRequest().hasPrefix("POST / "))
            #expect(await fixture.origin.nextRequest() == body)
        }
        #expect(try await client.receive().split(separator: "HTTP/1.1 200 ").count == 3)
    }

    @Test func `an answer that comes before the body was read to its end leaves the connection in order`() async throws
    {
        let fixture = try await EngineFixture(
            environment: ["http_buffer_req_body": "true"],
            settings: settings(memory: 0, disk: 9_000_000)
        ) { $0.hasPrefix("POST") ? [.send(EngineFixture.ok)] : [] }
        let body = text(4_000_000)
        let client = try RawConnection(port: fixture.port)
        let request = "POST /function/fn HTTP/1.1\r\nHost: gw\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
        try await client.send(request + request.replacing("Host: gw", with: "Host: gw\r\nConnection: close"))
        #expect(try await client.receive().split(separator: "HTTP/1.1 200 ").count == 2)
    }

    @Test func `senders who hold back the end of their bodies use up the room, and then get no more of it`()
        async throws
    {
        let fixture = try await EngineFixture(settings: settings(memory: 40_000, disk: 100_000))
        let slow = try (0..<2).map { _ in try RawConnection(port: fixture.port) }
        for client in slow { try await client.send(later(60_001) + text(60_000)) }
        func another() async throws -> String {
            let client = try RawConnection(port: fixture.port)
            try await client.send(later(60_000, "Connection: close\r\n") + text(60_000))
            return try await client.receive()
        }
        var answer = ""
        #expect(
            try await eventually {
                answer = try await another()
                return answer.hasPrefix("HTTP/1.1 503 ")
            }
        )
        #expect(answer.contains("Retry-After: 5\r\n") && answer.contains("as many bodies as it may"), "\(answer)")
        for client in slow { client.close() }
        #expect(try await eventually { try await another().hasPrefix("HTTP/1.1 202 ") })
    }

    @Test func `a short body that comes with its head needs no room`() async throws {
        let fixture = try await EngineFixture(settings: settings(memory: 0, disk: 0))
        let client = try RawConnection(port: fixture.port)
        try await client.send(later(4) + "body")
        #expect(try await client.receive(until: "X-Martlet-Call-Id").hasPrefix("HTTP/1.1 202 "))
    }

    @Test func `a disk that takes nothing is a 503 that says so`() async throws {
        let gone = settings(memory: 0, disk: 1_000_000, folder: "\(folder.path)/gone")
        let fixture = try await EngineFixture(settings: gone)
        let client = try RawConnection(port: fixture.port)
        try await client.send(later(60_000, "Connection: close\r\n") + text(60_000))
        let answer = try await client.receive()
        #expect(answer.hasPrefix("HTTP/1.1 503 ") && answer.contains("Retry-After: 5\r\n"), "\(answer)")
        #expect(answer.contains("The body cannot be held: no such file or directory."))
    }
}
