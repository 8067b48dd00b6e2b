// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
import ProcessControl
import TestSupport
import Testing

struct DeathMarkerTests {
    private let folder = TemporaryFolder()
    private var path: String { "\(folder.path)/note" }

    @Test(arguments: [SIGILL, SIGTRAP, SIGSEGV, SIGBUS, SIGABRT])
    func `a death by a fault of the program is noted with what is in flight, and stays that death`(
        signal: Int32
    ) async throws {
        await #expect(processExitsWith: .signal(signal)) { [path = path as String, signal = signal as Int32] in
            let marker = try #require(DeathMarker(path: path))
            marker.watch()
            // Such that want the same place.
            for entry in [5, 5 + 8192, 7, -1] as [Int64] { marker.began(entry) }
            marker.ended(7)
            marker.ended(5)
            kill(getpid(), signal)
            pause()
        }
        let marker = try #require(DeathMarker(path: path))
        let death = try #require(marker.lastDeath)
        #expect(death.signal == signal && death.total == 2 && Set(death.entries) == [5 + 8192, -1], "\(death)")
        marker.clear()
        #expect(marker.lastDeath == nil)
        #expect(DeathMarker(path: path)?.lastDeath == nil)
    }

    @Test(arguments: [SIGKILL, SIGTERM, SIGINT]) func `other deaths leave no note`(signal: Int32) async throws {
        await #expect(processExitsWith: .signal(signal)) { [path = path as String, signal = signal as Int32] in
            let marker = try #require(DeathMarker(path: path))
            marker.watch()
            marker.began(5)
            kill(getpid(), signal)
            pause()
        }
        #expect(DeathMarker(path: path)?.lastDeath == nil)
    }

    @Test func `a trap of Swift is such a death`() async throws {
        await #expect(processExitsWith: .failure) { [path = path as String] in
            let marker = try #require(DeathMarker(path: path))
            marker.watch()
            marker.began(5)
            let numbers: [Int] = []
            print(numbers[numbers.count])
        }
        #expect(DeathMarker(path: path)?.lastDeath?.entries == [5])
    }

    @Test func `more than there is room for is counted, and some of it is kept`() async throws {
        await #expect(processExitsWith: .signal(SIGILL)) { [path = path as String] in
            let marker = try #require(DeathMarker(path: path))
            marker.watch()
            for entry in 1...9000 as ClosedRange<Int64> { marker.began(entry) }
            for entry in 8193...9000 as ClosedRange<Int64> { marker.ended(entry) }
            kill(getpid(), SIGILL)
            pause()
        }
        #expect(DeathMarker(path: path)?.lastDeath?.total == 8192)
    }

    @Test func `a child that ends before its program begins leaves no note`() async throws {
        await #expect(processExitsWith: .success) { [path = path as String] in
            let marker = try #require(DeathMarker(path: path))
            marker.watch()
            marker.began(5)
            let run = try await ProgramRun.run(
                ["sh", "-c", "kill -ILL $$"],
                environment: ["PATH": "/usr/bin:/bin"],
                in: "/"
            )
            #expect(run.exit == .signalled(SIGILL))
        }
        #expect(DeathMarker(path: path)?.lastDeath == nil)
    }
}
