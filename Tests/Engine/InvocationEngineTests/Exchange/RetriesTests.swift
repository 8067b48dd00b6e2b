// SPDX-License-Identifier: Apache-2.0

import NIOCore
import Testing

@testable import InvocationEngine

struct RetriesTests {
    @Test func `a refused connection is tried ten times more, within a second`() {
        var (retries, pauses) = (Retries(), [TimeAmount]())
        while let pause = retries.pauseAfterRefusal() { pauses.append(pause) }
        let sum = pauses.reduce(.zero, +)
        #expect(pauses.count == 10 && sum < .seconds(1) && sum > .milliseconds(500))
        #expect(pauses == pauses.sorted())
    }

    @Test func `what was not answered goes out once more, where nothing of it can have had an effect`() {
        var retries = Retries()
        retries.noteAttempt()
        #expect(retries.mayRepeat(isIdempotent: true) && !retries.mayRepeat(isIdempotent: false))
        var withBody = retries
        withBody.noteBody()
        #expect(!withBody.mayRepeat(isIdempotent: true))
        retries.noteAttempt()
        #expect(!retries.mayRepeat(isIdempotent: true))
        for _ in 0..<1000 { retries.noteAttempt() }
        #expect(!retries.mayRepeat(isIdempotent: true), "however often it was refused before")
    }
}
