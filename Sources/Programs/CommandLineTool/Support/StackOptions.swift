// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import FaultModel
import Foundation
import FunctionBuilder

/// The flags that choose functions of a stack file.
struct StackOptions: ParsableArguments {
    @Option(name: [.customShort("f"), .customLong("file"), .customLong("yaml")], help: "The stack file (stack.yaml).")
    var file: String?

    @Option(help: "Only functions whose names match, with * for anything.")
    var filter: String?

    @Option(help: "Only functions whose names match a regular expression.")
    var regex: String?

    /// The stack file that is named, or the one in this folder.
    func stack() throws(PlatformFault) -> StackFile {
        let stack = try StackFile(path: path, environment: ProcessInfo.processInfo.environment)
        for warning in stack.warnings { printError("Warning: \(warning)") }
        return stack
    }

    /// The functions that are meant; at least one.
    func functions(of stack: StackFile) throws(PlatformFault) -> [StackFile.Function] {
        let functions = try stack.functions(filter: filter, regex: regex)
        guard !functions.isEmpty else {
            throw PlatformFault(
                .badUsage,
                "No function of the stack file matches.",
                hint: "They are: \(stack.functions.map(\.name).joined(separator: ", "))"
            )
        }
        return functions
    }

    private var path: String {
        if let file { return file }
        return StackFile.defaultNames.first { FileManager.default.fileExists(atPath: $0) } ?? StackFile.defaultNames[0]
    }
}
