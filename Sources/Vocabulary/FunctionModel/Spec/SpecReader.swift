// SPDX-License-Identifier: Apache-2.0

import FaultModel

/// Reads single variables, labels and annotations, and notes what is wrong with them.
///
/// What cannot be parsed counts as absent, and a number out of its range as the nearest inside; of what lets callers in,
/// only what can be parsed counts. Whether the faults are refused or only told of is for the caller to say.
struct SpecReader {
    /// Those that are not empty.
    let variables: [String: String]
    let labels: [String: String]
    let annotations: [String: String]
    private(set) var faults: [PlatformFault] = []

    init(variables: [String: String] = [:], labels: [String: String] = [:], annotations: [String: String] = [:]) {
        self.variables = variables.filter { !$0.value.isEmpty }
        self.labels = labels
        self.annotations = annotations
    }

    /// Throws the first fault that was noted.
    func throwFault() throws(PlatformFault) {
        if let fault = faults.first { throw fault }
    }

    mutating func note(_ message: String, hint: String? = nil) {
        faults.append(PlatformFault(.invalidValue, message, hint: hint))
    }

    /// The value of a step that throws; nil when it does.
    mutating func attempt<Value>(_ step: () throws(PlatformFault) -> Value?) -> Value? {
        do throws(PlatformFault) { return try step() } catch {
            faults.append(error)
            return nil
        }
    }

    // MARK: Variables

    func flag(variable name: String) -> Bool { ["true", "1"].contains(variables[name]) }

    mutating func number(variable name: String, in range: ClosedRange<Int>) -> Int? {
        number(variables[name], of: "The variable \(name)", in: range)
    }

    mutating func duration(variable name: String) -> Duration? { duration(variables[name], of: name) }

    // MARK: Labels and annotations

    mutating func number(label name: String, in range: ClosedRange<Int>) -> Int? {
        number(labels[name], of: "The label \(name)", in: range)
    }

    mutating func number(annotation name: String, in range: ClosedRange<Int>) -> Int? {
        number(annotations[name], of: "The annotation \(name)", in: range)
    }

    /// The first of these annotations that is there.
    mutating func duration(annotation names: String...) -> Duration? {
        guard let name = names.first(where: { annotations[$0] != nil }) else { return nil }
        return duration(annotations[name], of: name)
    }

    /// What one of Martlet's own labels or annotations says.
    func text(_ label: PlatformLabel) -> String? { labels[label.name] ?? annotations[label.name] }

    mutating func number(_ label: PlatformLabel, in range: ClosedRange<Int>) -> Int? {
        number(text(label), of: "The \(label.place) \(label.name)", in: range)
    }

    mutating func duration(_ label: PlatformLabel) -> Duration? {
        duration(text(label), of: "The \(label.place) \(label.name)")
    }

    /// The words between the commas, without what is blank around them.
    func list(_ label: PlatformLabel) -> [String]? { text(label).map(Self.words) }

    // MARK: Values

    static func words(_ text: String) -> [String] {
        text.split(separator: ",").map { word in
            let start = word.drop { $0 == " " }
            return start.lastIndex { $0 != " " }.map { String(start[...$0]) } ?? ""
        }
    }

    private mutating func duration(_ text: String?, of name: String) -> Duration? {
        guard let text else { return nil }
        return attempt { () throws(PlatformFault) in try GoDuration.parse(text, of: name) }
    }

    private mutating func number(_ text: String?, of name: String, in range: ClosedRange<Int>) -> Int? {
        guard let text else { return nil }
        let number = Int(text)
        if let number, range.contains(number) { return number }
        note(
            "\(name) is \"\(NameRule.printable(text))\".",
            hint: "Use a whole number from \(range.lowerBound) to \(range.upperBound)."
        )
        return number.map { min(max($0, range.lowerBound), range.upperBound) }
    }
}

extension GoDuration {
    /// Reads a duration that bears a name.
    ///
    /// - Throws: `invalidValue` with the name.
    static func parse(_ text: String, of name: String) throws(PlatformFault) -> Duration {
        guard let duration = parse(text) else {
            throw PlatformFault(
                .invalidValue,
                "\(name) is \"\(NameRule.printable(text))\", which is not a duration.",
                hint: "Write it as 30s, 1m30s or a number of seconds."
            )
        }
        return duration
    }
}
