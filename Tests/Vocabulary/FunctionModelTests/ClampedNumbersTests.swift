// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import TestSupport
import Testing

struct ClampedNumbersTests {
    @Test func `a number that is none, or too large, becomes the nearest there is`() {
        #expect(Int(clamping: 3.9) == 3 && Int(clamping: -3.9) == -3)
        #expect(Int(clamping: 1e300) == .max && Int(clamping: -1e300) == .min)
        #expect(Int(clamping: .infinity) == .max && Int(clamping: -.infinity) == .min && Int(clamping: .nan) == 0)
        #expect(Int(clamping: 0x1p63) == .max && Int(clamping: -0x1p63) == .min)
    }

    @Test func `seconds from outside become a duration of at most 292 years`() {
        #expect(Duration.clamped(seconds: 1.5) == .milliseconds(1500))
        #expect(Duration.clamped(seconds: -1) == .zero && Duration.clamped(seconds: .nan) == .zero)
        for large in [1e12, 1e300, Double.infinity, .greatestFiniteMagnitude] {
            #expect(Duration.clamped(seconds: large) == .seconds(9_223_372_036))
        }
    }

    @Test func `nanoseconds are the nearest number there is`() {
        #expect(Duration.milliseconds(-1500).clampedNanoseconds == -1_500_000_000)
        #expect(Duration.seconds(Int64.max).clampedNanoseconds == .max)
        #expect(Duration.seconds(Int64.min).clampedNanoseconds == .min)
        #expect(Int64.min.clampedDifference(from: 1) == .min && Int64.max.clampedDifference(from: -1) == .max)
    }

    @Test(arguments: [Int64.min, .min + 1, -9_223_372_036_000_000_000, -1, 0, 1, .max - 1, .max])
    func `the first and the last moments can be told, and counted with`(nanoseconds: Int64) {
        let moment = Timestamp(nanosecondsSinceEpoch: nanoseconds)
        #expect(moment.description.hasSuffix("Z") && moment.formatted(fractionDigits: 9).hasSuffix("Z"))
        #expect(HTTPDate.format(secondsSinceEpoch: nanoseconds / 1_000_000_000).hasSuffix("GMT"))
        let long = Duration.seconds(9_223_372_036)
        #expect(moment.earlier(by: long) <= moment && moment.later(by: long) >= moment)
        #expect(Timestamp.now().distance(from: moment) >= .seconds(-9_223_372_037))
    }

    @Test func `any text is a moment or none, and a moment reads back as itself`() {
        var random = SeededGenerator()
        let seeds = [
            "1677-09-21T00:12:44Z", "2262-04-11T23:47:16.854775807Z", "0000-01-01T00:00:00+23:59",
            "9999-12-31T23:59:60Z",
        ]
        for _ in 0..<20_000 {
            let text = String(
                decoding: random.mutated(Array((seeds.randomElement(using: &random) ?? "").utf8)),
                as: UTF8.self
            )
            _ = GoDuration.parse(text)
            _ = HTTPDate.parse(text)
            guard let moment = Timestamp(text) else { continue }
            #expect(Timestamp(moment.formatted(fractionDigits: 9)) == moment, "\(text) \(random)")
        }
    }
}
