// SPDX-License-Identifier: Apache-2.0

import Foundation
import Yams

/// Reads YAML whose outermost value is a mapping, as all of Martlet's files are.
///
/// Every file a person may have written goes through here: Yams' own loading stops the program at a key that is no
/// plain value (`[a]: b`), and a typing error must not do that.
public enum YAMLMapping {
    /// Why a text is not what it should be.
    public enum Problem: Error, CustomStringConvertible {
        /// The text is no YAML; the sentence says where.
        case syntax(String)
        /// A key is itself a list or a mapping.
        case keyIsNoText(line: Int)
        /// The outermost value is a list or a single one.
        case noMapping

        /// One line for the person who wrote the file.
        public var description: String {
            switch self {
            case .syntax(let what): what
            case .keyIsNoText(let line): "the key in line \(line) is not text; quote it if it has brackets or braces"
            case .noMapping: "its outermost value has no keys"
            }
        }
    }

    /// The mapping in `text`; nil when there is nothing.
    ///
    /// Values are `String`, `Int`, `Double`, `Bool`, `Date`, `NSNull`, `[Any]` or `[String: Any]`.
    public static func read(_ text: String) throws(Problem) -> [String: Any]? {
        try read(text, .default, .default)
    }

    /// The same with every value as it was typed: `0755` and `yes` are texts, and stay as they are.
    ///
    /// Values are `String`, `NSNull` for what was left empty (`~` and `null` too), `[Any]` or `[String: Any]`.
    public static func readTexts(_ text: String) throws(Problem) -> [String: Any]? {
        let resolver = Resolver.basic.appending(.merge).appending(.null)
        return try read(text, resolver, Constructor([.null: NSNull.construct]))
    }

    private static func read(
        _ text: String,
        _ resolver: Resolver,
        _ constructor: Constructor
    ) throws(Problem) -> [String: Any]? {
        let root: Node?
        do { root = try Yams.compose(yaml: text, resolver, constructor) } catch { throw .syntax(sentence(of: error)) }
        guard let root else { return nil }
        try requireTextKeys(root)
        let value = root.any
        if value is NSNull { return nil }
        guard let mapping = value as? [String: Any] else { throw .noMapping }
        return mapping
    }

    /// Where the mistake is and what, without the text around it: it may hold what is nobody's business.
    private static func sentence(of error: any Error) -> String {
        switch error as? YamlError {
        case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _),
            .composer(let context, let problem, let mark, _):
            let what = [context?.text, problem].compactMap(\.self).joined(separator: " ")
            return "line \(mark.line), column \(mark.column): \(what)"
        case .reader(let problem, let offset, _, _):
            return problem + (offset.map { " at character \($0 + 1)" } ?? "")
        case .duplicatedKeysInMapping(let duplicates, _):
            let key = duplicates.sorted().first { $0.allSatisfy { $0.isLetter || $0.isNumber || "-_.".contains($0) } }
            return key.map { "the key \"\($0)\" is there twice" } ?? "a key is there twice"
        default:
            return "it cannot be read"
        }
    }

    private static func requireTextKeys(_ node: Node) throws(Problem) {
        switch node {
        case .mapping(let mapping):
            for (key, value) in mapping {
                guard case .scalar = key else { throw .keyIsNoText(line: key.mark?.line ?? 1) }
                try requireTextKeys(value)
            }
        case .sequence(let items): for item in items { try requireTextKeys(item) }
        case .scalar, .alias: break
        }
    }
}
