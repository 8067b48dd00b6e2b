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
        let old = try? String(contentsOfFile: stack, encoding: .utf8)
        let new = try appended(name, language, to: old)
        do {
            try writeCode(of: template, to: code)
            try new.write(toFile: stack, atomically: true, encoding: .utf8)
        } catch {
            throw PlatformFault(.storageUnavailable, "The function's files cannot be written here.", cause: error)
        }
    }

    private func writeCode(of template: Template, to code: String) throws {
        for file in template.files where file.path.hasPrefix(template.handlerFolder + "/") {
            let path = code + "/" + file.path.dropFirst(template.handlerFolder.count + 1)
            let parent = (path as NSString).deletingLastPathComponent
            try FileManager.default.createDirectory(atPath: parent, withIntermediateDirectories: true)
            try file.content.write(toFile: path, atomically: true, encoding: .utf8)
            if file.isExecutable { chmod(path, 0o755) }
        }
    }

    /// The entry goes to the end, where `functions:` is the last key, as in files that we and faas-cli make.
    private func appended(_ name: String, _ language: String, to old: String?) throws(PlatformFault) -> String {
        let entry = """
              \(name):
                lang: \(language)
                handler: ./\(name)
                image: \(name):latest

            """
        guard let old else {
            return "version: 1.0\nprovider:\n  name: openfaas\n  gateway: http://127.0.0.1:8080\nfunctions:\n" + entry
        }
        guard !old.split(separator: "\n").contains(where: { $0.trimmingCharacters(in: .whitespaces) == "\(name):" })
        else {
            throw PlatformFault(.alreadyExists, "The stack file has a function \(name) already.")
        }
        return (old.hasSuffix("\n") ? old : old + "\n") + entry
    }
}
