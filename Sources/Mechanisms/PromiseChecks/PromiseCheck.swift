// SPDX-License-Identifier: Apache-2.0

/// A promise of a contract that was not kept.
public struct BrokenPromise: Error, CustomStringConvertible {
    /// What was expected and what was found.
    public let description: String

    package init(description: String) { self.description = description }
}

/// One promise of a contract, to be checked on a subject of its own.
public struct PromiseCheck<Subject: Sendable>: Sendable, CustomStringConvertible {
    /// The promise as a sentence.
    public let description: String
    private let body: @Sendable (Subject) async throws -> Void

    package init(_ description: String, _ body: @escaping @Sendable (Subject) async throws -> Void) {
        self.description = description
        self.body = body
    }

    /// Checks the promise; throws `BrokenPromise` where it is not kept.
    public func run(on subject: Subject) async throws { try await body(subject) }
}
