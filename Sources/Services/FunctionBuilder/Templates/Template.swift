// SPDX-License-Identifier: Apache-2.0

public import FaultModel
public import Foundation
import YAMLReading

/// What functions of one language are made of.
public struct Template: Sendable {
    /// A file of the template.
    public struct File: Sendable {
        /// Its path in the bundle.
        public var path: String
        /// Its bytes.
        public var content: Data
        /// Whether it can be executed.
        public var isExecutable: Bool

        init(_ path: String, _ content: String, isExecutable: Bool = false) {
            self.init(path, Data(content.utf8), isExecutable: isExecutable)
        }

        init(_ path: String, _ content: Data, isExecutable: Bool) {
            self.path = path
            self.content = content
            self.isExecutable = isExecutable
        }
    }

    /// Packages that a function's code names, and how they are fetched when a bundle is built.
    public struct Packages: Sendable {
        /// The file among the function's code that names them.
        public var manifest: String
        /// The installer, run in the folder of the function's code.
        public var command: [String]
        /// What to do where the installer is missing.
        public var hint: String
    }

    /// The template's name.
    public var name: String
    /// One line about it.
    public var summary: String
    /// The command that serves the function, started in the bundle's folder.
    public var fprocess: String
    /// The watchdog's mode (contract §15.4).
    public var mode: String
    /// A program that the host must have.
    public var requires: String?
    /// The folder of the function's own code.
    public var handlerFolder = "function"
    /// How packages are fetched; nil where the language has no such thing.
    public var packages: Packages?
    /// All files; those below `handlerFolder` are what `martlet new` begins with.
    public var files: [File]

    /// The bundle's `bundle.json`.
    func description() throws(PlatformFault) -> Data {
        struct Description: Encodable {
            let fprocess: String
            let mode: String
            let language: String
            let environment: [String: String]
            let workdir: String
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let description = Description(
            fprocess: fprocess,
            mode: mode,
            language: name,
            environment: ["PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"],
            workdir: ""
        )
        do { return try encoder.encode(description) } catch { throw .unexpected(error, doing: "describing a bundle") }
    }
}

/// The templates at hand: those in a project's `template/` folder, and our own, which are part of the program.
public struct TemplateLibrary: Sendable {
    private let folder: String

    /// Looks below a project's folder first.
    public init(folder: String) { self.folder = folder }

    /// Our own templates, by name.
    public static var builtIn: [Template] { [.bash, .node, .python3] }

    /// A template by name.
    ///
    /// - Throws: `notFound` naming those that there are; `invalidValue` for one made for containers alone.
    public func template(_ name: String) throws(PlatformFault) -> Template {
        let path = "\(folder)/template/\(name)"
        if FileManager.default.fileExists(atPath: "\(path)/template.yml") { return try read(name, path) }
        if let template = Self.builtIn.first(where: { $0.name == name }) { return template }
        throw PlatformFault(
            .notFound,
            "There is no template \"\(name)\".",
            hint: "There are: \(Self.builtIn.map(\.name).joined(separator: ", ")). Others go into the folder template/."
        )
    }

    /// A template on disk in OpenFaaS' layout (contract §24), if it says how it runs without a container.
    private func read(_ name: String, _ path: String) throws(PlatformFault) -> Template {
        let text = (try? String(contentsOfFile: "\(path)/template.yml", encoding: .utf8)) ?? ""
        let tree = (try? YAMLMapping.readTexts(text)) ?? [:]
        guard let fprocess = tree["fprocess"] as? String, !fprocess.isEmpty else {
            throw PlatformFault(
                .invalidValue,
                "The template \(name) is made for containers: its template.yml names no fprocess.",
                hint: "Add \"fprocess: COMMAND\" to template/\(name)/template.yml, run in the template's folder."
            )
        }
        let names = (FileManager.default.enumerator(atPath: path)?.compactMap { $0 as? String } ?? []).sorted()
        let files = names.compactMap { file -> Template.File? in
            guard file != "template.yml", file != "Dockerfile",
                let content = try? Data(contentsOf: URL(fileURLWithPath: "\(path)/\(file)"))
            else { return nil }
            let isExecutable = FileManager.default.isExecutableFile(atPath: "\(path)/\(file)")
            return Template.File(file, content, isExecutable: isExecutable)
        }
        return Template(
            name: name,
            summary: tree["welcome_message"] as? String ?? "",
            fprocess: fprocess,
            mode: tree["mode"] as? String ?? "http",
            requires: nil,
            handlerFolder: tree["handler_folder"] as? String ?? "function",
            packages: Self.builtIn.first { name.hasPrefix($0.name) }?.packages,
            files: files
        )
    }
}
