// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
import FunctionModel
import TestSupport
import Testing

struct DurationTests {
    @Test(arguments: [
        ("30", Duration.seconds(30)), ("1m30s", .seconds(90)), ("250ms", .milliseconds(250)), ("0", .zero),
        ("1.5s", .milliseconds(1500)), ("2h", .seconds(7200)), ("5us", .microseconds(5)),
    ])
    func `durations are Go's or bare seconds`(text: String, duration: Duration) {
        #expect(GoDuration.parse(text) == duration)
    }

    @Test(arguments: ["", "x", "5 s", "-1s", "-5", "1m30", "s", "1.2.3s", "99999999999999999999h"])
    func `what is no duration is refused`(text: String) {
        #expect(GoDuration.parse(text) == nil)
    }

    @Test(arguments: 0..<200)
    func `what is written can be read again`(number: Int) {
        let duration = Duration.milliseconds(number * number * 7919)
        #expect(GoDuration.parse(GoDuration.format(duration)) == duration)
    }
}

struct AmountTests {
    @Test(arguments: [
        ("128Mi", 134_217_728), ("1Gi", 1_073_741_824), ("64M", 64_000_000), ("1024", 1024), ("0.5Ki", 512),
        ("1e8", 100_000_000), ("1E3", 1000), ("12e6", 12_000_000), ("5e-1", 1), ("1E", 1_000_000_000_000_000_000),
        ("+1Ki", 1024), ("1.", 1), (".5Ki", 512), ("1500m", 2), ("1Ei", 1_152_921_504_606_846_976), ("1k", 1000),
    ])
    func `memory is a Kubernetes quantity (§8.1)`(text: String, bytes: Int) {
        #expect(Quantity.parseMemoryBytes(text) == bytes)
    }

    @Test(arguments: [
        ("100m", 100), ("0.5", 500), ("2", 2000), ("1e-1", 100), ("2e0", 2000), ("100000u", 100), ("1n", 1),
        ("1k", 1_000_000),
    ])
    func `CPU is a Kubernetes quantity (§8.1)`(text: String, milli: Int) {
        #expect(Quantity.parseMilliCPU(text) == milli)
    }

    @Test(arguments: [
        "", "Mi", "12Qi", "-1Mi", "0", "1e400", "NaN", "inf", "e8", "1e", "1e+", "1e1.5", "1e99999", "0x10", "1.2.3",
        "1e8Mi", "1 Mi", "١", "1e-400", "8Ei", "1_000", ".", "+", "++1",
    ])
    func `what is no amount is refused`(text: String) {
        #expect(Quantity.parseMemoryBytes(text) == nil)
    }

    @Test(arguments: ["", "0x10", "inf", "nan", "-1", "1e400", "0", "1Ti", "m", "1e", "0.0"])
    func `what is no amount of CPU is refused`(text: String) {
        #expect(Quantity.parseMilliCPU(text) == nil)
    }
}

struct TimestampTests {
    @Test(arguments: [
        ("1970-01-01T00:00:00Z", 0), ("2026-01-02T03:04:05.5Z", 1_767_323_045_500_000_000),
        ("2026-01-02T05:04:05.500+02:00", 1_767_323_045_500_000_000), ("2000-02-29T12:00:00Z", 951_825_600_000_000_000),
    ])
    func `moments are RFC 3339 with any offset`(text: String, nanoseconds: Int64) {
        #expect(Timestamp(text)?.nanosecondsSinceEpoch == nanoseconds)
    }

    @Test(arguments: [
        "", "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-01-01 00:00:00", "2026-01-01T25:00:00Z",
        "2262-04-11T23:47:16.999Z", "9999-12-31T23:59:59Z",
    ])
    func `what is no moment is refused`(text: String) {
        #expect(Timestamp(text) == nil)
    }

    @Test func `any moment can be written and read again`() {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<5000 {
            let moment = Timestamp(
                nanosecondsSinceEpoch: .random(in: -2_000_000_000...4_000_000_000, using: &generator) * 1_000_000_007
            )
            #expect(Timestamp(moment.formatted(fractionDigits: 9)) == moment)
        }
    }
}

struct NameTests {
    @Test(arguments: ["a", "env", "my-fn-2", "0"])
    func `functions are DNS labels (§8.1)`(name: String) throws {
        try NameRule.checkFunction(name)
    }

    @Test(arguments: ["", "A", "-a", "a-", "a.b", "a/b", "..", "a_b", "ä", String(repeating: "a", count: 64), "a\n"])
    func `other names are refused (§8.5)`(name: String) {
        #expect(throws: PlatformFault.self) { try NameRule.checkFunction(name) }
    }

    @Test(arguments: ["../x", "a/b", "", ".", "..", "a..b", "A", "x\0y"])
    func `a secret's name is never a path (§9)`(name: String) {
        #expect(throws: PlatformFault.self) { try NameRule.checkSecret(name) }
    }

    @Test func `an address is split at its last dot (§3)`() {
        #expect(FunctionID(address: "a.b.c", defaultNamespace: "d") == FunctionID(name: "a.b", namespace: "c"))
        #expect(FunctionID(address: "a", defaultNamespace: "d") == FunctionID(name: "a", namespace: "d"))
        #expect(FunctionID(address: "a.", defaultNamespace: "d") == nil)
    }
}

struct StatusTests {
    @Test func `counts of 0 are left out and the rest comes back (§8.2)`() throws {
        var status = FunctionStatus(
            FunctionDeployment(service: "env", image: "host", labels: ["a": "b"]),
            namespace: "openfaas-fn",
            createdAt: Timestamp(nanosecondsSinceEpoch: 1_000_000_000)
        )
        let empty = String(decoding: try JSONEncoder().encode(status), as: UTF8.self)
        #expect(
            !empty.contains("replicas") && !empty.contains("invocationCount") && !empty.contains("vailableReplicas")
        )
        status.replicas = 2
        status.availableReplicas = 1
        status.invocationCount = 7
        #expect(try JSONDecoder().decode(FunctionStatus.self, from: JSONEncoder().encode(status)) == status)
    }

    @Test func `a status of faas-netes is parsed (§27)`() throws {
        let text = """
            {"name":"env","image":"ghcr.io/openfaas/alpine:latest","namespace":"openfaas-fn","envProcess":"env",
             "labels":{"faas_function":"env"},"replicas":1,"availableReplicas":1,"createdAt":"2026-01-02T03:04:05Z"}
            """
        let status = try JSONDecoder().decode(FunctionStatus.self, from: Data(text.utf8))
        #expect(status.name == "env" && status.availableReplicas == 1)
    }
}

struct TextFuzzTests {
    @Test func `no text ends the program, and what is read can be written and read again`() {
        var random = SeededGenerator()
        let seeds = [
            "1h30m5s", "9223372036", "250ms", "2026-01-02T03:04:05.5+02:00", "128Mi", "1.5Gi", "100m", "0.25",
            "Sun, 06 Nov 1994 08:49:37 GMT", "name.namespace", "9999999999999999999999s", "1e400",
        ]
        for _ in 0..<20_000 {
            let seed = seeds.randomElement(using: &random) ?? ""
            let text = String(decoding: random.mutated(Array(seed.utf8)), as: UTF8.self)
            if let duration = GoDuration.parse(text) {
                #expect(duration >= .zero && !GoDuration.format(duration).isEmpty, "\(random) \(text)")
            }
            if let moment = Timestamp(text) {
                #expect(Timestamp(moment.formatted(fractionDigits: 9)) == moment, "\(random) \(text)")
            }
            if let seconds = HTTPDate.parse(text) {
                #expect(HTTPDate.parse(HTTPDate.format(secondsSinceEpoch: seconds)) == seconds, "\(random) \(text)")
            }
            #expect(Quantity.parseMemoryBytes(text).map { $0 >= 0 } ?? true, "\(random) \(text)")
            #expect(Quantity.parseMilliCPU(text).map { $0 >= 0 } ?? true, "\(random) \(text)")
            _ = FunctionID(address: text, defaultNamespace: "fn")
        }
    }

    @Test func `dates of HTTP are those of the standard (RFC 9110 §5.6.7)`() {
        #expect(HTTPDate.format(secondsSinceEpoch: 784_111_777) == "Sun, 06 Nov 1994 08:49:37 GMT")
        #expect(HTTPDate.parse("Sun, 06 Nov 1994 08:49:37 GMT") == 784_111_777)
        #expect(HTTPDate.parse("Sun, 31 Feb 1994 08:49:37 GMT") == nil)
    }
}
