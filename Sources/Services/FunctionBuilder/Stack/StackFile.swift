// SPDX-License-Identifier: Apache-2.0

public import FaultModel
import Foundation
public import FunctionModel

/// A stack file, read as faas-cli reads it (contract §24, martlet-api "Files of clients").
public struct StackFile: Sendable {
    /// One function of the file.
    public struct Function: Sendable {
        /// The key in the file.
        public var name: String
        /// The template's name; nil or empty for an image made elsewhere.
        public var language: String?
        /// The folder of the function's code, absolute.
        public var handler: String?
        /// Whether it is never built.
        public var skipsBuild: Bool
        /// What is deployed.
        public var deployment: FunctionDeployment

        /// Makes an entry.
        public init(
            name: String,
            language: String?,
            handler: String?,
            skipsBuild: Bool,
            deployment: FunctionDeployment
        ) {
            self.name = name
            self.language = language
            self.handler = handler
            self.skipsBuild = skipsBuild
            self.deployment = deployment
        }
    }

    /// `provider.gateway`.
    public var gateway: String?
    /// The functions, by name.
    public var functions: [Function]
    /// The folder of the file, to which its paths are relative.
    public var folder: String
    /// What is odd but does not stop anything: unknown keys, variables that are not set.
    public var warnings: [String]

    /// The files that are looked for when none is named.
    public static let defaultNames = ["stack.yaml", "stack.yml"]

    /// Reads a file.
    ///
    /// - Throws: `invalidValue` naming the file, the function and the key that is wrong; `notFound` for no file.
    public init(path: String, environment: [String: String]) throws(PlatformFault) {
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else {
            throw PlatformFault(
                .notFound,
                "There is no stack file \(ServerURL.withoutLogin(path)).",
                hint: "Name one by --file, or make one: martlet new NAME --lang python3"
            )
        }
        folder = URL(fileURLWithPath: path).deletingLastPathComponent().standardizedFileURL.path
        var substitution = VariableSubstitution(environment: environment)
        let filled = substitution.fill(text)
        let reader = StackReader(path: path, folder: folder, lines: substitution.lines)
        let root = try reader.root(filled)
        gateway = try reader.gateway(root)
        functions = try reader.functions(root)
        warnings = substitution.warnings + reader.unknownKeys(root)
    }

    /// The functions whose names match a filter: a name with `*`, or a regular expression.
    ///
    /// - Throws: `badUsage` for an expression that is none.
    public func functions(filter: String?, regex: String?) throws(PlatformFault) -> [Function] {
        var chosen = functions
        if let filter, !filter.isEmpty { chosen = chosen.filter { Wildcard.matches($0.name, filter) } }
        guard let regex, !regex.isEmpty else { return chosen }
        guard let expression = try? Regex(regex) else {
            throw PlatformFault(.badUsage, "\"\(NameRule.printable(regex))\" is not a regular expression.")
        }
        return chosen.filter { $0.name.contains(expression) }
    }
}

/// Replaces `${VAR}` and `${VAR:-default}` in a stack file.
struct VariableSubstitution {
    let environment: [String: String]
    private(set) var warnings: [String] = []
    private(set) var lines = LinesOfVariables()

    init(environment: [String: String]) { self.environment = environment }

    mutating func fill(_ text: String) -> String {
        var out = ""
        var rest = text[...]
        while let start = rest.range(of: "${"), let end = rest[start.upperBound...].firstIndex(of: "}") {
            out += rest[..<start.lowerBound]
            out += value(of: rest[start.upperBound..<end])
            rest = rest[rest.index(after: end)...]
        }
        return out + rest
    }

    private mutating func value(of expression: Substring) -> String {
        let parts = expression.range(of: ":-")
        let name = String(parts.map { expression[..<$0.lowerBound] } ?? expression)
        let fallback = parts.map { String(expression[$0.upperBound...]) }
        if let value = environment[name], !value.isEmpty { return lines.keep(value) }
        // `$PORT` is for the function's own start, not for us.
        if name == "PORT", fallback == nil { return "${PORT}" }
        if fallback == nil { warnings.append("The variable \(name) is not set; it is taken as empty.") }
        return fallback ?? ""
    }
}

/// The values of variables that have more than one line.
///
/// In the text of a stack file each line would be a line of YAML. A mark stands for such a value there, and the value
/// takes its place when the text has been parsed.
struct LinesOfVariables {
    private var values: [String: String] = [:]

    /// What to write for a value: itself, or a mark.
    mutating func keep(_ value: String) -> String {
        guard value.unicodeScalars.contains(where: { "\n\r\u{85}\u{2028}\u{2029}".unicodeScalars.contains($0) }) else {
            return value
        }
        // Of the scalars that are nobody's, so that no file has it by chance.
        let mark = "\u{F8F0}\(values.count)\u{F8F1}"
        values[mark] = value
        return mark
    }

    /// Puts the values where their marks are.
    func put(in tree: [String: Any]) -> [String: Any] {
        guard !values.isEmpty else { return tree }
        var filled: [String: Any] = [:]
        for (key, value) in tree { filled[put(inText: key)] = put(inValue: value) }
        return filled
    }

    private func put(inValue value: Any) -> Any {
        switch value {
        case let text as String: put(inText: text)
        case let items as [Any]: items.map(put(inValue:))
        case let tree as [String: Any]: put(in: tree)
        default: value
        }
    }

    private func put(inText text: String) -> String {
        values.reduce(text) { $0.replacing($1.key, with: $1.value) }
    }
}

/// Names with `*`.
enum Wildcard {
    static func matches(_ name: String, _ pattern: String) -> Bool {
        let parts = pattern.split(separator: "*", omittingEmptySubsequences: false)
        guard parts.count > 1 else { return name == pattern }
        var rest = name[...]
        for (index, part) in parts.enumerated() {
            if index == 0 {
                guard rest.hasPrefix(part) else { return false }
                rest = rest.dropFirst(part.count)
            } else if index == parts.count - 1 {
                return rest.hasSuffix(part)
            } else {
                guard let found = rest.range(of: part) ?? (part.isEmpty ? rest.startIndex..<rest.startIndex : nil)
                else {
                    return false
                }
                rest = rest[found.upperBound...]
            }
        }
        return true
    }
}
