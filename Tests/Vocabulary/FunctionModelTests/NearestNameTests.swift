// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import Testing

struct NearestNameTests {
    private let names = ["port", "host", "metrics-port", "ui-port"]

    @Test(arguments: [
        ("prot", "port"), ("hots", "host"), ("metric-port", "metrics-port"), ("uiport", "ui-port"), ("", "port"),
    ]) func `a mistyped name leads to the one that was meant`(word: String, name: String) {
        #expect(NearestName.of(word, in: names) == name)
    }

    @Test func `what is like none is none`() {
        #expect(NearestName.of("something-else", in: names, within: 3) == nil)
        #expect(NearestName.of("prot", in: []) == nil)
        #expect(NearestName.of(String(repeating: "x", count: 1_000_000), in: names, within: 3) == nil)
    }
}
