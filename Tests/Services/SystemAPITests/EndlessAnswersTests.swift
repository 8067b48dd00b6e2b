// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import ProviderConformance
import ProviderContract
import Testing

@testable import SystemAPI

/// Answers that go on for as long as the platform does.
struct EndlessAnswersTests {
    @Test func `what follows ends when all endless answers do, and what begins later ends at once`() async throws {
        let end = EndlessAnswers()
        let provider = InMemoryProvider()
        let pieces = SignsOfLife.between(provider.watch(), until: end)
        var iterator = pieces.makeAsyncIterator()
        guard case .element(.snapshot) = try await iterator.next() else {
            Issue.record("the routes come first")
            return
        }
        end.end()
        end.end()
        while try await iterator.next() != nil {}
        for try await _ in SignsOfLife.between(AsyncStream<Int> { _ in }, until: end) {}
    }

    @Test(.timeLimit(.minutes(1)))
    func `an answer over the routes of a platform that hands over comes to its end`() async throws {
        let api = APIUnderTest()
        api.end.end()
        #expect(try await api.ask(.get, "/system/watch").status == 200)
    }
}
