// SPDX-License-Identifier: Apache-2.0

public import FaultModel
import Foundation
import FunctionModel

/// Begins functions: a folder with the template's code, and an entry in the stack file.
public struct FunctionScaffold: Sendable {
    private let folder: String

    /// Works in a folder.
    public init(folder: String) { self.folder = folder }

    /// Makes a function; nothing that exists is overwritten.
    ///
    /// - Throws: `invalidValue` for the name, `notFound` for the template, `alreadyExists` for the folder or the entry.
    public func make(_ name: String, language: String, file: String) throws(PlatformFault) {
        try NameRule.checkFunction(name)
        let template = try TemplateLibrary(folder: folder).template(language)
        let code = "\(folder)/\(name)"
        guard !FileManager.default.fileExists(atPath: code) else {
            throw PlatformFault(.alreadyExists, "There is a folder \(name) already.", hint: "Choose another name.")
        }
        let stack = file.hasPrefix("/") ? file : "\(folder)/\(file)"
        let new = try appended(name, language, to: try text(of: stack))
        do {
            try writeCode(of: template, to: code)
            try new.write(toFile: stack, atomically: true, encoding: .utf8)
        } catch {
            throw PlatformFault(.storageUnavailable, "The function's files cannot be written here.", cause: error)
        }
    }

    /// Nil where there is no such file yet.
    private func text(of stack: String) throws(PlatformFault) -> String? {
        guard FileManager.default.fileExists(atPath: stack) else { return nil }
        do { return try String(contentsOfFile: stack, encoding: .utf8) } catch {
            throw PlatformFault(
                .invalidValue,
                "The stack file \(stack) is there, but cannot be read as text.",
                hint: "Name another one by --file.",
                cause: error
            )
        }
    }

    private func writeCode(of template: Template, to code: String) throws {
        for file in template.files where file.path.hasPrefix(template.handlerFolder + "/") {
            let path = code + "/" + file.path.dropFirst(template.handlerFolder.count + 1)
            let parent = (path as NSString).deletingLastPathComponent
            try FileManager.default.createDirectory(atPath: parent, withIntermediateDirectories: true)
            try file.content.write(to: URL(fileURLWithPath: path), options: .atomic)
            if file.isExecutable { chmod(path, 0o755) }
        }
    }

    /// Text rather than a tree is changed, so that comments and order stay as they are.
    private func appended(_ name: String, _ language: String, to old: String?) throws(PlatformFault) -> String {
        guard let old else {
            let head = "version: 1.0\nprovider:\n  name: openfaas\n  gateway: http://127.0.0.1:8080\nfunctions:"
            return ([head] + entry(name, language, indent: "  ")).joined(separator: "\n") + "\n"
        }
        var lines = old.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        while lines.last?.isEmpty == true { lines.removeLast() }
        guard let start = lines.firstIndex(where: { $0.hasPrefix("functions:") }) else {
            return (lines + ["functions:"] + entry(name, language, indent: "  ")).joined(separator: "\n") + "\n"
        }
        // "functions: {}" of an empty file would end the block before it begins.
        lines[start] = "functions:"
        let block = lines[(start + 1)...].prefix { $0.isEmpty || $0.hasPrefix(" ") || $0.hasPrefix("#") }
        let first = block.first { $0.hasPrefix(" ") && !$0.drop { $0 == " " }.hasPrefix("#") } ?? "  "
        let indent = String(first.prefix { $0 == " " })
        guard !block.contains(where: { $0 == "\(indent)\(name):" || $0.hasPrefix("\(indent)\(name): ") }) else {
            throw PlatformFault(.alreadyExists, "The stack file has a function \(name) already.")
        }
        // After the block's last own line: what follows it up to the next key stays with that key.
        let end = block.lastIndex { $0.hasPrefix(" ") }.map { $0 + 1 } ?? start + 1
        lines.insert(contentsOf: entry(name, language, indent: indent), at: end)
        return lines.joined(separator: "\n") + "\n"
    }

    private func entry(_ name: String, _ language: String, indent: String) -> [String] {
        ["\(indent)\(name):"]
            + ["lang: \(language)", "handler: ./\(name)", "image: \(name):latest"].map { indent + "  " + $0 }
    }
}
