// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionModel
import GRDB
import NIOCore
import QueueContract
import TestSupport
import Testing

@testable import SQLiteQueue

/// Statements that are bound past GRDB.
struct StatementTests {
    private static func text(_ count: Int, _ random: inout SeededGenerator) -> String {
        String((0..<count).map { _ in "aé€𝄞 ,;".randomElement(using: &random) ?? "a" })
    }

    @Test func `values come out as they went in, however long and however many`() throws {
        var random = SeededGenerator()
        let lengths = [0, 1, 15, 16, 4095, 4096, 4097, 65_536, 200_000]
        try DatabaseQueue().write { database in
            try database.execute(sql: "CREATE TABLE seen (a TEXT, b BLOB, c TEXT, d BLOB, e INTEGER) STRICT")
            let statement = try HotStatement("INSERT INTO seen VALUES (?, ?, ?, ?, ?)", on: database)
            for round in 0..<200 {
                let texts = (0..<2).map { _ in Self.text(lengths.randomElement(using: &random)! / 4, &random) }
                let bytes = (0..<2).map { _ in
                    ByteBuffer(
                        repeating: UInt8.random(in: .min ... .max, using: &random),
                        count: lengths.randomElement(using: &random)!
                    )
                }
                let changed = try statement.run { values in
                    values.add(texts[0])
                    values.add(bytes[0])
                    values.add(round.isMultiple(of: 3) ? nil : texts[1])
                    values.add(round.isMultiple(of: 5) ? nil : bytes[1])
                    values.add(Int64.min + Int64(round))
                }
                #expect(changed == 1)
                let row = try #require(try Row.fetchOne(database, sql: "SELECT * FROM seen"))
                let seen = (row[0] as String?, row[1] as Data?, row[2] as String?, row[3] as Data?)
                #expect(seen.0 == texts[0] && seen.1 == Data(bytes[0].readableBytesView), "\(random)")
                #expect(seen.2 == (round.isMultiple(of: 3) ? nil : texts[1]), "\(random)")
                #expect(seen.3 == (round.isMultiple(of: 5) ? nil : Data(bytes[1].readableBytesView)), "\(random)")
                #expect(row[4] == Int64.min + Int64(round))
                try database.execute(sql: "DELETE FROM seen")
            }
        }
    }

    @Test func `attempts are read as they were written`() {
        let moments = [0, 1, -1, 1_800_000_000_000_000_000, .max, .min].map { Timestamp(nanosecondsSinceEpoch: $0) }
        let attempts = moments.enumerated().map { number, moment in
            CallAttempt(
                number: number + 1,
                startedAt: moment,
                finishedAt: moments[5 - number],
                status: [200, 502, 0, 999, 100, 429][number],
                fault: number.isMultiple(of: 2) ? nil : "function"
            )
        }
        #expect(AttemptText.read(attempts.map(AttemptText.text).joined()) == attempts)
    }
}
