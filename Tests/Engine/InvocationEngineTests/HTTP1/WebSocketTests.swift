// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import InvocationEngine
import ProviderContract
import TestSupport
import Testing

/// A conversation of RFC 6455 through gateway and watchdog to a real server.
struct WebSocketTests {
    private let folder = TemporaryFolder()

    /// Answers pings, echoes texts, and returns close codes; frames are short and whole.
    private static let server = """
        import base64, hashlib, os, socket
        listener = socket.create_server(("127.0.0.1", int(os.environ["listen"])))
        while True:
            client, _ = listener.accept()
            head = b""
            while b"\\r\\n\\r\\n" not in head:
                piece = client.recv(4096)
                if not piece: break
                head += piece
            else:
                key = [l.split(b": ")[1] for l in head.split(b"\\r\\n") if l.lower().startswith(b"sec-websocket-key")][0]
                accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
                client.sendall(b"HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n"
                               b"Sec-WebSocket-Accept: " + accept + b"\\r\\n\\r\\n")
                stream = client.makefile("rb")
                while start := stream.read(2):
                    mask = stream.read(4)
                    data = bytes(b ^ mask[i % 4] for i, b in enumerate(stream.read(start[1] & 127)))
                    kind = {9: 10}.get(start[0] & 15, start[0] & 15)
                    client.sendall(bytes([0x80 | kind, len(data)]) + data)
                    if kind == 8: break
                stream.close()
            client.close()
        """

    private func frame(_ kind: UInt8, _ payload: [UInt8]) -> [UInt8] {
        let mask: [UInt8] = [0x12, 0x34, 0x56, 0x78]
        return [0x80 | kind, 0x80 | UInt8(payload.count)] + mask + payload.enumerated().map { $1 ^ mask[$0 % 4] }
    }

    @Test func `pings, texts and close codes pass both ways untouched (§5.4)`() async throws {
        let port = try ReservedPort.claim()
        let watchdog = try await RunningWatchdog([
            "mode": "http", "upstream_url": "http://127.0.0.1:\(port)", "listen": "\(port)",
            "fprocess": "python3 \(folder.write("ws.py", Self.server))", "exec_timeout": "1m",
        ])
        let fixture = try await EngineFixture()
        let target = Upstream(.tcp(host: "127.0.0.1", port: watchdog.port))
        let replica = Replica(id: "ws", target: target, maxInFlight: nil)
        fixture.table.apply(.changed(try EngineFixture.route(replicas: [replica])))
        let client = try RawConnection(port: fixture.port)
        try await client.send(
            "GET /function/fn/chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                + "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        let head = try await client.receive(until: "\r\n\r\n")
        #expect(head.hasPrefix("HTTP/1.1 101 ") && head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "\(head)")
        try await client.send(frame(9, Array("are you there".utf8)))
        #expect(try await client.receive(count: 15) == [0x8A, 13] + Array("are you there".utf8))
        for word in ["one", "two"] {
            try await client.send(frame(1, Array(word.utf8)))
            #expect(try await client.receive(count: 5) == [0x81, 3] + Array(word.utf8))
        }
        // 4000, a code of the application's own, and its reason.
        try await client.send(frame(8, [0x0F, 0xA0] + Array("bye".utf8)))
        #expect(try await client.receive(count: 100) == [0x88, 5, 0x0F, 0xA0] + Array("bye".utf8))
        #expect(await eventually { replica.inFlight == 0 })
        #expect(await watchdog.stop() == 0)
    }
}
