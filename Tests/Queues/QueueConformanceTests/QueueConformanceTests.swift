// SPDX-License-Identifier: Apache-2.0

import JetStreamQueue
import Logging
import NATSClient
import QueueConformance
import QueueContract
import SQLiteQueue
import TestSupport
import Testing

/// Every promise of the queue contract, on every queue.
struct QueueConformanceTests {
    @Test(arguments: QueueChecks.all)
    func `the in-memory queue keeps its promises`(check: QueueCheck) async throws {
        try await check.run(on: MemorySubject())
    }

    @Test(arguments: QueueChecks.all)
    func `the embedded queue keeps its promises`(check: QueueCheck) async throws {
        try await check.run(on: try SQLiteSubject())
    }
}

/// The same, one after the other: the server makes seven streams for each.
@Suite(.serialized, .enabled(if: RunningNATS.isThere))
struct JetStreamConformanceTests {
    @Test(arguments: QueueChecks.all)
    func `the queue on JetStream keeps its promises`(check: QueueCheck) async throws {
        let subject = try await JetStreamSubject(url: try await RunningNATS.shared.value.url)
        try await check.run(on: subject)
        await subject.queue.close()
    }
}

private struct MemorySubject: QueueUnderTest {
    let queue: any CallQueue
    let bodyLimit = 1_000_000

    init() { queue = MemoryQueue(settings: QueueSettings(bodyLimit: bodyLimit)) }

    func reopened() async throws -> (any QueueUnderTest)? { nil }
}

private struct JetStreamSubject: QueueUnderTest {
    let queue: any CallQueue
    let bodyLimit = 500_000
    private let url: String
    private let name: String

    init(url: String, name: String = "q\(UInt64.random(in: 0 ... .max))") async throws {
        (self.url, self.name) = (url, name)
        let opened = try JetStreamQueue(
            JetStreamQueue.Settings(
                connection: NATSConnection.Settings(servers: [url], name: "conformance"),
                name: name,
                worker: "the-worker",
                queue: QueueSettings(bodyLimit: bodyLimit)
            ),
            logger: Logger(label: "queue") { _ in SwiftLogNoOpLogHandler() }
        )
        try await opened.opened(within: .seconds(60))
        queue = opened
    }

    /// A worker of the same name starts after this one was cut off.
    func reopened() async throws -> (any QueueUnderTest)? {
        (queue as? JetStreamQueue)?.abandon()
        return try await JetStreamSubject(url: url, name: name)
    }
}

private struct SQLiteSubject: QueueUnderTest {
    let queue: any CallQueue
    let bodyLimit = 1_000_000
    let folder: TemporaryFolder

    init(_ folder: TemporaryFolder = TemporaryFolder()) throws {
        self.folder = folder
        queue = try SQLiteQueue(
            folder: folder.path,
            settings: QueueSettings(bodyLimit: bodyLimit),
            logger: Logger(label: "queue") { _ in SwiftLogNoOpLogHandler() }
        )
    }

    /// On a copy of the files, as they are while the first one still runs: what a killed process leaves behind.
    func reopened() async throws -> (any QueueUnderTest)? {
        let copy = TemporaryFolder()
        try folder.copyContents(to: copy)
        return try SQLiteSubject(copy)
    }
}
