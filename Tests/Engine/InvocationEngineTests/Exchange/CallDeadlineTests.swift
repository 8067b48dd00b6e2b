// SPDX-License-Identifier: Apache-2.0

import NIOCore
import Testing

@testable import InvocationEngine

struct CallDeadlineTests {
    private let begun = NIODeadline.uptimeNanoseconds(1_000_000_000)

    @Test func `the smallest of the limits counts, and is told with its owner`() {
        var deadline = CallDeadline()
        #expect(deadline.moment == .distantFuture)
        deadline.shorten(to: nil, from: begun, by: .function)
        deadline.shorten(to: .seconds(60), from: begun, by: .gateway)
        deadline.shorten(to: .seconds(90), from: begun, by: .request)
        #expect(deadline.owner == .gateway)
        deadline.shorten(to: .milliseconds(1500), from: begun, by: .request)
        #expect(deadline.moment == begun + .milliseconds(1500))
        let sentence = deadline.sentence("f", begun: begun)
        #expect(sentence == "f did not answer within 1s500ms, the X-Timeout of the request.")
    }

    @Test func `a stream has none`() {
        var deadline = CallDeadline()
        deadline.shorten(to: .seconds(1), from: begun, by: .function)
        deadline.lift()
        #expect(deadline.moment == .distantFuture)
    }
}
