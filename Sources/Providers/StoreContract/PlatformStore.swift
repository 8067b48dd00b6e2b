// SPDX-License-Identifier: Apache-2.0

public import FaultModel

/// Small documents of the platform's own, each under a key, for what is neither desired of a provider nor a call.
///
/// Every write gives a document a version that is greater than all before, of all documents, those that are gone
/// included. Whoever changes a document names the version that he knows, so of several at once one wins and the others
/// learn of it. A change is on disk when its method returns, in so far as the store lasts at all, and is whole or not
/// there whatever happens meanwhile.
///
/// Keys are `DocumentKey`s, which every kind of store can have as they are. All methods may be called from anywhere at any
/// time, and throw `storageUnavailable` when the store cannot be read or written, and `shuttingDown` when whoever owns it
/// has closed it; nothing was changed then.
///
/// `StoreConformance` has the suite that every implementation passes.
public protocol PlatformStore: Sendable {
    /// A document; nil where there is none.
    func document(at key: DocumentKey) async throws(PlatformFault) -> StoredDocument?

    /// Keeps a document, in place of the one that is there; returns its version.
    ///
    /// - Throws: `conflict` where what is there is not as expected: read it, and try again; `bodyTooLarge` for more than
    ///   `StoredDocument.largest` bytes.
    @discardableResult
    func put(
        _ content: [UInt8],
        at key: DocumentKey,
        expecting: ExpectedVersion
    ) async throws(PlatformFault) -> Int

    /// Forgets a document; one that is not there is forgotten already.
    ///
    /// - Throws: `conflict` where what is there is not as expected.
    func delete(_ key: DocumentKey, expecting: ExpectedVersion) async throws(PlatformFault)

    /// The first documents whose keys begin with some text, by the bytes of their keys, behind a key if one is given.
    ///
    /// No more than `limit`, 1 to 1,000. What changes between one page and the next is there once, as it was or as it is.
    func documents(
        beginningWith prefix: String,
        after key: DocumentKey?,
        limit: Int
    ) async throws(PlatformFault) -> [StoredDocument]
}

/// What somebody knows of the document that he changes.
public enum ExpectedVersion: Sendable, Equatable {
    /// Nothing: whatever is there is replaced.
    case any
    /// There is none.
    case none
    /// It is the one with this version.
    case version(Int)

    /// Whether a document, or its absence, is what was expected.
    ///
    /// - Throws: `conflict`.
    public func check(_ found: Int?, at key: DocumentKey) throws(PlatformFault) {
        let holds =
            switch self {
            case .any: true
            case .none: found == nil
            case .version(let known): found == known
            }
        guard !holds else { return }
        throw PlatformFault(
            .conflict,
            "Somebody else has \(found == nil ? "removed" : self == .none ? "made" : "changed") \(key.text) meanwhile.",
            hint: "Read it again, and repeat the change."
        )
    }
}

/// What a document is found by: 1 to 256 letters, digits and `-_=./`, with no dot at its ends or beside another.
public struct DocumentKey: Hashable, Sendable, Comparable {
    /// Most bytes.
    public static let longest = 256
    /// As it is written.
    public let text: String

    /// Takes a text over; nil where it is not a key.
    ///
    /// Whatever comes from outside has to be encoded by its owner.
    public init?(_ text: String) {
        guard 1...Self.longest ~= text.utf8.count, text.utf8.allSatisfy(Self.isKeyByte) else { return nil }
        let words = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard words.allSatisfy({ !$0.isEmpty }) else { return nil }
        self.text = text
    }

    private static func isKeyByte(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
            || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20) || "-_=./".utf8.contains(byte)
    }

    /// By their bytes.
    public static func < (left: DocumentKey, right: DocumentKey) -> Bool {
        left.text.utf8.lexicographicallyPrecedes(right.text.utf8)
    }
}

/// A document as it is kept.
public struct StoredDocument: Sendable, Equatable {
    /// Most bytes of a content.
    public static let largest = 256 * 1024
    /// What it is found by.
    public var key: DocumentKey
    /// Which one it is: greater than that of whatever was there before.
    public var version: Int
    /// What it says; up to `largest` bytes.
    public var content: [UInt8]

    /// Describes a document.
    public init(key: DocumentKey, version: Int, content: [UInt8]) {
        self.key = key
        self.version = version
        self.content = content
    }

    /// Refuses what is too large to be kept.
    ///
    /// - Throws: `bodyTooLarge`.
    public static func checkSize(of content: [UInt8], at key: DocumentKey) throws(PlatformFault) {
        guard content.count > largest else { return }
        throw PlatformFault(
            .bodyTooLarge,
            "\(key.text) would have \(content.count) bytes, and a document has \(largest) at most.",
            hint: "Make it shorter."
        )
    }
}
