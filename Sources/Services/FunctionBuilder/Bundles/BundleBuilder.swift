// SPDX-License-Identifier: Apache-2.0

public import FaultModel
public import Foundation
import FunctionModel

/// Makes a bundle of a template and a function's code (martlet-api "Bundles").
public struct BundleBuilder: Sendable {
    /// A bundle that is ready to be uploaded.
    public struct Built: Sendable {
        /// The image's name, without tag.
        public var name: String
        /// Its tag.
        public var tag: String
        /// The tar archive.
        public var archive: Data
    }

    private let templates: TemplateLibrary

    /// Looks for templates in `template/` of a folder first, then among our own.
    public init(folder: String) { templates = TemplateLibrary(folder: folder) }

    /// Builds one function; nil where there is nothing to build.
    ///
    /// - Throws: `notFound` for a missing template or folder of code, `invalidValue` for a template made for containers
    ///   alone, `processFailed` where the language itself is missing or its packages cannot be had.
    public func build(_ function: StackFile.Function) async throws(PlatformFault) -> Built? {
        guard !function.skipsBuild, let language = function.language, !language.isEmpty,
            language.lowercased() != "dockerfile"
        else { return nil }
        let template = try templates.template(language)
        try checkLanguage(template, function.name)
        guard let handler = function.handler, FileManager.default.fileExists(atPath: handler) else {
            throw PlatformFault(
                .notFound,
                "The code of \(function.name) is missing: \(function.handler ?? "no handler is named").",
                hint: "Make it: martlet new \(function.name) --lang \(language)"
            )
        }
        var tar = TarWriter()
        tar.add("bundle.json", try template.description(), isExecutable: false)
        for file in template.files.filter({ !$0.path.hasPrefix(template.handlerFolder + "/") }) {
            tar.add(file.path, file.content, isExecutable: file.isExecutable)
        }
        try addCode(of: handler, below: template.handlerFolder, to: &tar)
        if let packages = template.packages {
            let fetched = try await PackageInstaller(packages, function: function.name).install(for: handler)
            defer { fetched?.remove() }
            if let fetched { try addCode(of: fetched.path, below: template.handlerFolder, to: &tar) }
        }
        let image = ImageName(function.deployment.image)
        return Built(name: image.name, tag: image.tag, archive: tar.finished())
    }

    private func checkLanguage(_ template: Template, _ function: String) throws(PlatformFault) {
        guard let program = template.requires, !Self.isInstalled(program) else { return }
        throw PlatformFault(
            .processFailed,
            "\(function) needs \(program), which is not installed on this machine.",
            hint: "Install it, then build again: martlet build --filter \(function)"
        )
    }

    /// Where functions find programs, and so what packages are fetched for.
    static let functionPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

    /// Whether the functions' own `PATH` would find a program.
    public static func isInstalled(_ program: String) -> Bool {
        functionPath.split(separator: ":").contains {
            FileManager.default.isExecutableFile(atPath: "\($0)/\(program)")
        }
    }

    private func addCode(of handler: String, below folder: String, to tar: inout TarWriter) throws(PlatformFault) {
        for name in FileTree.files(below: handler) {
            let path = "\(handler)/\(name)"
            guard let content = FileManager.default.contents(atPath: path) else {
                throw PlatformFault(.notFound, "The file \(name) of the function's code cannot be read.")
            }
            tar.add("\(folder)/\(name)", content, isExecutable: FileManager.default.isExecutableFile(atPath: path))
        }
    }
}
