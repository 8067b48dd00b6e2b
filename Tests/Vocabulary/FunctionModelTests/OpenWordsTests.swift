// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import FunctionModel

/// Words that a newer Martlet says and this one does not know: kept, shown, and written back.
struct OpenWordsTests {
    private func again<Value: Codable>(_ type: Value.Type, _ json: String) throws -> (value: Value, json: String) {
        let value = try JSONDecoder().decode(type, from: Data(json.utf8))
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        return (value, String(decoding: try encoder.encode(value), as: UTF8.self))
    }

    @Test func `an unknown state of a function is kept as its word`() throws {
        let json = """
            {"limitsEnforced":true,"readyRevision":1,"reason":"","revision":2,"since":"2026-01-02T15:04:05.000Z",\
            "state":"canarying"}
            """
        let (status, written) = try again(MartletStatus.self, json)
        #expect(status.state.rawValue == "canarying" && status.state != .ready && written == json, "\(written)")
        #expect(try again(FunctionState.self, "\"ready\"").value == .ready)
    }

    @Test func `an unknown line of a watch is read as one, with what it holds`() throws {
        let json = #"{"functions":[],"kind":"weather"}"#
        let (record, written) = try again(WatchRecord.self, json)
        #expect(record.kind == WatchRecord.Kind(rawValue: "weather") && written == json)
    }

    @Test func `what a provider does not say counts as possible, and what is new is passed over`() throws {
        let told = try again(ProviderCapabilities.self, #"{"images":false,"reportsUsage":false,"teleports":true}"#)
            .value
        var expected = ProviderCapabilities.all
        expected.images = false
        expected.behaviours.reportsUsage = false
        #expect(told == expected)
        let written = try again(
            ProviderCapabilities.self,
            String(decoding: try JSONEncoder().encode(ProviderCapabilities.none), as: UTF8.self)
        )
        #expect(written.value == .none && written.json.contains(#""scalesToZero":false"#), "\(written.json)")
    }
}
