// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import GRDB
import Logging
import ProcessControl
import QueueContract
import Synchronization

/// Deaths that calls may have caused: no stored call keeps the platform from starting.
extension SQLiteQueue {
    /// So many deaths alone are no accident.
    private static let mostDeaths = 2

    /// From now on a death of this process by a fault of its own is noted with the calls that are in flight.
    ///
    /// For the one queue of a process that works.
    public func watchForCrashes() { marker?.watch() }

    /// Brings the last life's death into the tables, and returns what is to be tried alone.
    func takeOverDeath(_ database: QueueDatabase) throws -> CrashTrial {
        let death = marker?.lastDeath
        try database.pool.writeWithoutTransaction { connection in
            let isOfUse = try death != nil || CrashRows.areAny(connection)
            guard isOfUse else { return }
            _ = try transaction(database, connection, isSynced: true) { batch in
                try CrashRows.dropSettled(batch.database)
                if let death { try note(death, &batch) }
            }
        }
        if let death {
            logger.error(
                "the last life of the platform ended by a fault of its own",
                metadata: ["signal": "\(death.signal)", "calls in flight": "\(death.total)"]
            )
            marker?.clear()
        }
        return CrashTrial(try database.pool.read { try CrashRows.suspects($0) })
    }

    private func note(_ death: DeathMarker.Death, _ batch: inout Batch) throws {
        let isAlone = death.total == 1
        for suspect in death.entries.prefix(death.total).map(InFlight.init(entry:)) {
            guard try CrashRows.isOpen(suspect, batch.database) else { continue }
            let deaths = try CrashRows.note(suspect, isAlone: isAlone, batch.database)
            if deaths >= Self.mostDeaths { try end(suspect, &batch) }
        }
    }

    private func end(_ suspect: InFlight, _ batch: inout Batch) throws {
        try CrashRows.remove(suspect, batch.database)
        let id = try String.fetchOne(
            batch.database,
            sql: "SELECT id FROM calls WHERE seq = ?",
            arguments: [suspect.number]
        )
        logger.error(
            "alone in flight at two deaths of the platform; it is given up",
            metadata: ["id": "\(id ?? "")", "what": "\(suspect.isCallback ? "callback" : "call")"]
        )
        guard !suspect.isCallback else { return try CrashRows.giveUpCallback(suspect.number, batch.database) }
        guard let place = try CrashRows.place(suspect.number, batch.database) else { return }
        _ = try CallRows.end(place, as: .dead, reason: CallEnd.crashReason, &batch)
    }
}

/// The rows of what was in flight when the platform died.
enum CrashRows {
    static func areAny(_ database: Database) throws -> Bool {
        try Bool.fetchOne(database, sql: "SELECT EXISTS (SELECT 1 FROM suspects)") ?? false
    }

    /// Forgets those that are over.
    static func dropSettled(_ database: Database) throws {
        try CallRows.run(
            """
            DELETE FROM suspects WHERE NOT EXISTS (
                SELECT 1 FROM calls c WHERE c.seq = suspects.seq
                    AND CASE suspects.is_callback WHEN 0 THEN c.state = 0 ELSE c.callback_state = 1 END
            )
            """,
            [],
            database
        )
    }

    static func isOpen(_ suspect: InFlight, _ database: Database) throws -> Bool {
        let condition = suspect.isCallback ? "callback_state = 1" : "state = 0"
        return try Bool.fetchOne(
            database,
            sql: "SELECT EXISTS (SELECT 1 FROM calls WHERE seq = ? AND \(condition))",
            arguments: [suspect.number]
        ) ?? false
    }

    /// Notes one more death; returns at how many it was alone.
    static func note(_ suspect: InFlight, isAlone: Bool, _ database: Database) throws -> Int {
        try CallRows.run(
            """
            INSERT INTO suspects (seq, is_callback, deaths, is_tried) VALUES (?, ?, ?, 0)
            ON CONFLICT (seq, is_callback) DO UPDATE SET deaths = deaths + excluded.deaths, is_tried = 0
            """,
            [suspect.number, suspect.isCallback ? 1 : 0, isAlone ? 1 : 0],
            database
        )
        return try Int.fetchOne(
            database,
            sql: "SELECT deaths FROM suspects WHERE seq = ? AND is_callback = ?",
            arguments: [suspect.number, suspect.isCallback ? 1 : 0]
        ) ?? 0
    }

    static func remove(_ suspect: InFlight, _ database: Database) throws {
        try CallRows.run(
            "DELETE FROM suspects WHERE seq = ? AND is_callback = ?",
            [suspect.number, suspect.isCallback ? 1 : 0],
            database
        )
    }

    /// Notes that a suspect was tried, and the platform lives.
    static func pass(_ suspect: InFlight, _ database: Database) throws {
        try CallRows.run(
            "UPDATE suspects SET is_tried = 1 WHERE seq = ? AND is_callback = ?",
            [suspect.number, suspect.isCallback ? 1 : 0],
            database
        )
    }

    /// Those that are to be tried, whoever was alone before first.
    static func suspects(_ database: Database) throws -> [CrashTrial.Suspect] {
        try Row.fetchAll(
            database,
            sql: """
                SELECT s.seq, s.is_callback, c.function FROM suspects s JOIN calls c ON c.seq = s.seq
                WHERE s.is_tried = 0 ORDER BY s.deaths DESC, s.seq
                """
        ).map { CrashTrial.Suspect(what: InFlight($0[0], isCallback: $0[1]), function: CallRows.function($0[2])) }
    }

    static func place(_ number: Int64, _ database: Database) throws -> CallRows.Place? {
        try Row.fetchOne(database, sql: "SELECT function, state FROM calls WHERE seq = ?", arguments: [number]).map {
            CallRows.Place(number: number, function: CallRows.function($0[0]), state: CallRows.state($0[1]))
        }
    }

    static func giveUpCallback(_ number: Int64, _ database: Database) throws {
        try CallRows.run(
            "UPDATE calls SET callback_state = 3, callback_status = 0 WHERE seq = ? AND callback_state = 1",
            [number],
            database
        )
    }
}
