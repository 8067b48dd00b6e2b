// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import PromiseChecks
import ProviderContract

/// What facets promise, where they are there; and that a provider can what it says, and no more.
extension ProviderChecks {
    static let logs: [ProviderCheck] = [
        ProviderCheck("the log of a function can be read, and no other", when: \.logs) { subject in
            let logs = try subject.logs
            try await subject.provider.create(subject.healthy("fn", variant: "a"))
            _ = try await subject.inTime("the log did not come to an end in time") { () -> Bool? in
                for try await line in try await logs.logs(LogQuery(function: subject.id("fn"))) {
                    try expect(line.name == "fn", "a line is \(line.name)'s")
                }
                return true
            }
            try await expectFault(.functionNotFound, doing: "reading another") { () throws(PlatformFault) in
                _ = try await logs.logs(LogQuery(function: subject.id("nothing")))
            }
        }
    ]

    static let images: [ProviderCheck] = [
        ProviderCheck("an archive that comes in pieces is stored, listed and removed", when: \.images) { subject in
            let images = try subject.images
            let archive = Archive.pieces(of: Archive.bundle)
            let stored = try await images.storeBundle(name: "hello", tag: "1.0", archive: archive)
            try expect(stored.name == "hello" && stored.tag == "1.0", "\(stored) was stored")
            let again = try await images.storeBundle(name: "hello", tag: "2.0", archive: archive)
            try expect(stored.digest == again.digest, "the same content is \(stored.digest) and \(again.digest)")
            let listed = try await images.bundles()
            try expect(listed.map(\.tag) == ["1.0", "2.0"], "the tags are \(listed.map(\.tag))")
            for tag in ["1.0", "2.0"] { try await images.deleteBundle(name: "hello", tag: tag) }
            try await expectFault(.notFound, doing: "removing what is not there") { () throws(PlatformFault) in
                try await images.deleteBundle(name: "hello", tag: "1.0")
            }
        },
        ProviderCheck("an archive that breaks off, or is none, leaves nothing", when: \.images) { subject in
            let images = try subject.images
            let half = Array(Archive.bundle.prefix(700))
            try await expectFault(.malformedBody, doing: "breaking off") { () throws(PlatformFault) in
                _ = try await images.storeBundle(
                    name: "no",
                    tag: "1",
                    archive: Archive.pieces(of: half, then: Broken())
                )
            }
            let limit = PlatformFault(.bodyTooLarge, "That is enough.")
            try await expectFault(.bodyTooLarge, doing: "ending with a fault") { () throws(PlatformFault) in
                _ = try await images.storeBundle(name: "no", tag: "1", archive: Archive.pieces(of: half, then: limit))
            }
            let text = [UInt8](repeating: UInt8(ascii: "x"), count: 1024)
            try await expectFault(.malformedBody, doing: "no archive") { () throws(PlatformFault) in
                _ = try await images.storeBundle(name: "no", tag: "1", archive: Archive.pieces(of: text))
            }
            try await expectFault(.invalidValue, doing: "a path as name") { () throws(PlatformFault) in
                _ = try await images.storeBundle(
                    name: "a/../b",
                    tag: "1",
                    archive: Archive.pieces(of: Archive.bundle)
                )
            }
            let listed = try await images.bundles()
            try expect(listed.isEmpty, "\(listed) is listed")
        },
        ProviderCheck("an image that a function runs is not removed", when: \.images) { subject in
            let images = try subject.images
            let archive = Archive.pieces(of: Archive.bundle)
            _ = try await images.storeBundle(name: "hello", tag: "1.0", archive: archive)
            try await subject.provider.create(FunctionDeployment(service: "fn", image: "hello:1.0"))
            try await expectFault(.conflict, .alreadyExists, doing: "removing it") { () throws(PlatformFault) in
                try await images.deleteBundle(name: "hello", tag: "1.0")
            }
            try await subject.provider.delete(subject.id("fn"))
            try await images.deleteBundle(name: "hello", tag: "1.0")
        },
    ]

    static let capabilities: [ProviderCheck] = [
        ProviderCheck("who cannot do without a replica refuses 0", when: { $0.lacks(.zeroReplicas) }) { subject in
            try await checkRefused(replicas: 0, subject)
        },
        ProviderCheck("who runs one replica refuses several", when: { $0.lacks(.severalReplicas) }) { subject in
            try await checkRefused(replicas: 2, subject)
        },
        ProviderCheck("who runs one replica takes a greater minimum for 1", when: { $0.lacks(.severalReplicas) }) {
            subject in
            var deployment = subject.healthy("fn", variant: "a")
            deployment.labels = ["com.openfaas.scale.min": "2"]
            try await subject.provider.create(deployment)
            try await subject.awaitReady("fn", replicas: 1)
        },
        ProviderCheck("who tells no usage tells none", when: { !$0.reportsUsage }) { subject in
            try await subject.provider.create(subject.healthy("fn", variant: "a"))
            try await subject.awaitReady("fn")
            let status = try await subject.provider.function(subject.id("fn"), includingUsage: true)
            try expect(status.usage == nil, "the usage is \(String(describing: status.usage))")
        },
        ProviderCheck("what was deployed is there after the provider's end exactly where it says so") { subject in
            try await subject.provider.create(subject.healthy("fn", variant: "a"))
            let declared = subject.provider.capabilities.isDurable
            guard let next = try await subject.startedAgain() else { return }
            let left = try await next.functions(in: subject.defaultNamespace)
            try expect(
                (left.map(\.name) == ["fn"]) == declared,
                "left are \(left.map(\.name)), declared is \(declared)"
            )
        },
    ]

    private static func checkRefused(replicas: Int, _ subject: any ProviderUnderTest) async throws {
        try await subject.provider.create(subject.healthy("fn", variant: "a"))
        try await subject.awaitReady("fn")
        try await expectFault(.notSupported, doing: "scaling to \(replicas)") { () throws(PlatformFault) in
            try await subject.provider.scale(subject.id("fn"), to: replicas)
        }
        let status = try await subject.provider.function(subject.id("fn"), includingUsage: false)
        try expect(status.replicas == 1, "\(status.replicas) are desired")
    }
}

/// What an archive ends with that breaks off.
private struct Broken: Error {}

/// A bundle as an archive, by hand.
private enum Archive {
    /// `bundle.json` in a tar archive (POSIX ustar).
    static let bundle: [UInt8] = {
        let content = [UInt8](#"{"fprocess":"cat"}"#.utf8)
        return header("bundle.json", size: content.count) + content
            + [UInt8](repeating: 0, count: 512 - content.count + 1024)
    }()

    private static func header(_ name: String, size: Int) -> [UInt8] {
        var block = [UInt8](repeating: 0, count: 512)
        func write(_ text: String, at place: Int) {
            for (offset, byte) in text.utf8.enumerated() { block[place + offset] = byte }
        }
        func octal(_ number: Int, _ digits: Int) -> String {
            let text = String(number, radix: 8)
            return String(repeating: "0", count: digits - text.count) + text
        }
        write(name, at: 0)
        write(octal(0o644, 7), at: 100)
        write(octal(size, 11), at: 124)
        write(octal(0, 11), at: 136)
        // The sum counts its own eight bytes as spaces.
        write("        ", at: 148)
        write("0", at: 156)
        write("ustar\u{0}00", at: 257)
        write(octal(block.reduce(0) { $0 + Int($1) }, 6) + "\u{0} ", at: 148)
        return block
    }

    /// The bytes in pieces of a hundred, and then the end or an error.
    static func pieces(of bytes: [UInt8], then error: (any Error)? = nil) -> Pieces {
        Pieces(bytes: bytes, error: error)
    }

    struct Pieces: AsyncSequence, Sendable {
        typealias Element = [UInt8]
        typealias Failure = any Error

        struct AsyncIterator: AsyncIteratorProtocol {
            fileprivate var rest: ArraySlice<UInt8>
            fileprivate let error: (any Error)?

            mutating func next(isolation actor: isolated (any Actor)?) async throws -> [UInt8]? {
                guard !rest.isEmpty else {
                    if let error { throw error }
                    return nil
                }
                defer { rest = rest.dropFirst(100) }
                return Array(rest.prefix(100))
            }
        }

        let bytes: [UInt8]
        let error: (any Error)?

        func makeAsyncIterator() -> AsyncIterator { AsyncIterator(rest: bytes[...], error: error) }
    }
}
