// SPDX-License-Identifier: Apache-2.0

import Logging
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

private struct MemorySubject: QueueUnderTest {
    let queue: any CallQueue
    let bodyLimit = 1_000_000

    init() { queue = MemoryQueue(settings: QueueSettings(bodyLimit: bodyLimit)) }

    func reopened() async throws -> (any QueueUnderTest)? { nil }
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
