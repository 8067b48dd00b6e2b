// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
import GRDB
import TestSupport
import Testing

@testable import SQLiteSchema

/// How tables come to be, step by step.
struct DatabaseSchemaTests {
    private let folder = TemporaryFolder()
    private var path: String { folder.path + "/some.sqlite" }
    private let first = "CREATE TABLE one (number INTEGER) STRICT; INSERT INTO one VALUES (1);"
    private let second = "CREATE TABLE two (number INTEGER) STRICT; INSERT INTO two SELECT number FROM one;"

    private func migrate(_ steps: [String]) throws {
        let database = try DatabaseSchema(of: "things", steps: steps).open(path) { try DatabaseQueue(path: path) }
        try database.close()
    }

    private func numbers(_ table: String, of path: String) throws -> [Int] {
        try DatabaseQueue(path: path).read { try Int.fetchAll($0, sql: "SELECT number FROM \(table)") }
    }

    @Test func `an empty file gets all steps, and no copy is made of nothing`() throws {
        try migrate([first, second])
        #expect(try numbers("two", of: path) == [1])
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["some.sqlite"])
    }

    @Test func `an older file gets the steps that it lacks, behind a copy of what it was`() throws {
        try migrate([first])
        try migrate([first, second])
        try migrate([first, second])
        #expect(try numbers("two", of: path) == [1])
        #expect(try numbers("one", of: "\(path).schema-1") == [1])
        #expect(throws: (any Error).self) { try numbers("two", of: "\(path).schema-1") }
    }

    @Test func `whether a file is newer is found out beside whoever has it open, and nothing is changed`()
        throws
    {
        func check(_ steps: [String]) throws { try DatabaseSchema(of: "things", steps: steps).check(at: path) }
        try check([first])
        #expect(!FileManager.default.fileExists(atPath: path))
        try migrate([first])
        let user = try DatabaseQueue(path: path)
        try check([first, second])
        #expect(throws: (any Error).self) { try numbers("two", of: path) }
        try user.write { try $0.execute(sql: "PRAGMA user_version = 3") }
        let fault = #expect(throws: PlatformFault.self) { try check([first, second]) }
        #expect(fault?.code == .badSettings)
    }

    @Test func `a copy that was broken off does not keep the next start from making one`() throws {
        try migrate([first])
        try Data("half".utf8).write(to: URL(fileURLWithPath: "\(path).schema-1"))
        try migrate([first, second])
        #expect(try numbers("one", of: "\(path).schema-1") == [1])
    }

    @Test func `a step that fails leaves what the step before left`() throws {
        try migrate([first])
        #expect(throws: (any Error).self) {
            try migrate([first, second, "CREATE TABLE three (number INTEGER) STRICT; INSERT INTO nowhere VALUES (1);"])
        }
        #expect(try numbers("two", of: path) == [1])
        #expect(throws: (any Error).self) { try numbers("three", of: path) }
        try migrate([first, second, "CREATE TABLE three (number INTEGER) STRICT;"])
        #expect(try numbers("three", of: path).isEmpty)
    }

    @Test(arguments: [2, -1])
    func `a newer file, or one that is none of ours, stops the start with a sentence`(version: Int) throws {
        try migrate([first])
        try DatabaseQueue(path: path).write { try $0.execute(sql: "PRAGMA user_version = \(version)") }
        let fault = #expect(throws: PlatformFault.self) { try migrate([first]) }
        #expect(fault?.code == .badSettings && fault?.message.contains("The database of things was written") == true)
    }

    @Test(arguments: [false, true])
    func `a newer file is not even opened for writing, wherever its version stands`(isInLog: Bool) throws {
        let newer = try DatabasePool(path: path)
        try newer.writeWithoutTransaction { database in
            try database.execute(sql: "\(first) PRAGMA wal_checkpoint(TRUNCATE); PRAGMA user_version = 9;")
        }
        // As a crash leaves it, or as it is when all is written back.
        let left = TemporaryFolder()
        if isInLog { try folder.copyContents(to: left) }
        try newer.close()
        if !isInLog { try folder.copyContents(to: left) }
        left.remove("some.sqlite-shm")
        let before = left.contents
        let schema = DatabaseSchema(of: "things", steps: [first])
        let fault = #expect(throws: PlatformFault.self) {
            _ = try schema.open("\(left.path)/some.sqlite") { () throws -> DatabaseQueue in
                throw DatabaseError(message: "it is opened for writing")
            }
        }
        #expect(fault?.message.contains("schema 9, known: 1") == true)
        left.remove("some.sqlite-shm")
        #expect(left.contents == before)
        #expect(before.keys.contains("some.sqlite-wal") == isInLog)
    }

    @Test func `a damaged file is found by looking, a sound one and none are not`() throws {
        #expect(DatabaseInspection.problem(of: path) == nil)
        try migrate([first])
        #expect(DatabaseInspection.problem(of: path) == nil)
        try Data(repeating: 7, count: 8192).write(to: URL(fileURLWithPath: path))
        #expect(DatabaseInspection.problem(of: path) != nil)
    }
}
