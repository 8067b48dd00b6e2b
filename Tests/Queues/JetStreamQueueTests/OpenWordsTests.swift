// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import QueueContract
import Testing

@testable import JetStreamQueue

/// Lines of the log that a newer worker has written, which shares the queue with this one.
struct OpenWordsTests {
    private let function = FunctionID(name: "fn", namespace: "ns")

    private func line(_ event: String, from: String, to state: String) throws -> (text: String, line: LogEntry) {
        let moment = Timestamp(nanosecondsSinceEpoch: 1_700_000_000_000_000_000)
        let facts = CallStanding(function: function, acceptedAt: moment, due: moment, request: 7)
        var words = LogEntry(.accepted, from: nil, facts).text.split(separator: " ").map(String.init)
        (words[0], words[1], words[2], words[11]) = (event, from, state, "postponed")
        let text = words.joined(separator: " ")
        return (text, try #require(LogEntry(text)))
    }

    @Test func `words that are not known are written back as they were read`() throws {
        let (text, line) = try line("paused", from: "waiting", to: "parked")
        #expect(line.text == text && line.facts.state.rawValue == "parked")
    }

    @Test func `a call in an unknown state is kept and counted, and not carried out`() throws {
        var index = CallIndex(counts: [:], counted: 0, position: 0)
        _ = index.read(try line("accepted", from: "-", to: "waiting").line, id: "a", sequence: 1)
        #expect(index.dueCount(of: function) == 1)
        let news = index.read(try line("paused", from: "waiting", to: "parked").line, id: "a", sequence: 2)
        #expect(news.isEmpty && index.dueCount(of: function) == 0)
        let counts = try #require(index.counts[function])
        #expect(counts.drift == 0 && counts.others == [CallState(rawValue: "parked"): 1])
        #expect(index.floor == 2, "its last entry is needed")
        _ = index.read(try line("resumed", from: "parked", to: "waiting").line, id: "a", sequence: 3)
        #expect(index.dueCount(of: function) == 1 && index.counts[function]?.others.isEmpty == true)
    }
}
