// SPDX-License-Identifier: Apache-2.0

import Foundation
import Logging
import Telemetry
import TestSupport
import Testing

@testable import CommandLineTool

/// The log as machines read it.
struct JSONLogHandlerTests {
    private let folder = TemporaryFolder()

    private func lines(_ log: (Logger) -> Void) async throws -> [[String: String]] {
        let path = folder.write("log", "")
        let descriptor = open(path, O_WRONLY | O_APPEND | O_CLOEXEC)
        defer { close(descriptor) }
        let writer = LineWriter(descriptor: descriptor)
        log(Logger(label: "martlet") { _ in JSONLogHandler(writer: writer) })
        await writer.close()
        let text = try String(contentsOfFile: path, encoding: .utf8)
        return try text.split(separator: "\n").map {
            try JSONDecoder().decode([String: String].self, from: Data($0.utf8))
        }
    }

    @Test func `each message is one object on one line, whatever is in it`() async throws {
        let odd = "two\nlines, \"quotes\", a tab\t, \u{1}, é and 🐦"
        let lines = try await lines { logger in
            logger.info("\(odd)", metadata: ["function": "\(odd)", "count": "\(3)"])
            logger.error("second")
        }
        #expect(lines.count == 2)
        #expect(lines.first?["message"] == odd && lines.first?["function"] == odd && lines.first?["count"] == "3")
        #expect(lines.first?["level"] == "info" && lines.last?["level"] == "error")
        #expect(lines.last?["time"]?.hasSuffix("Z") == true)
    }

    @Test func `metadata of a logger is there, and cannot pass for the message`() async throws {
        let lines = try await lines { logger in
            var logger = logger
            logger[metadataKey: "part"] = "queue"
            logger[metadataKey: "message"] = "a lie"
            logger.warning("the truth")
        }
        #expect(lines.first?["part"] == "queue" && lines.first?["message"] == "the truth")
    }
}
