// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
import FunctionModel
import YAMLReading

/// Takes a stack file's tree apart and says exactly what is wrong where.
struct StackReader {
    let path: String
    let folder: String
    /// What stands in the text where a variable has more than one line.
    let lines: LinesOfVariables

    private static let functionKeys: Set<String> = [
        "lang", "handler", "image", "fprocess", "environment", "environment_file", "secrets", "skip_build",
        "constraints", "labels", "annotations", "limits", "requests", "readonly_root_filesystem", "build_options",
        "build_args", "build_secrets", "platforms", "namespace",
    ]

    func root(_ text: String) throws(PlatformFault) -> [String: Any] {
        let tree: [String: Any]?
        do throws(YAMLMapping.Problem) { tree = try YAMLMapping.readTexts(text) } catch {
            if case .noMapping = error { throw wrong("is not a stack file: it has no functions.") }
            throw wrong("is not YAML: \(error)")
        }
        guard let root = tree.map(lines.put(in:)) else { throw wrong("is not a stack file: it has no functions.") }
        if let version = root["version"], !["1", "1.0"].contains("\(version)") {
            throw wrong("has version \(version); 1.0 is known.")
        }
        return root
    }

    func gateway(_ root: [String: Any]) throws(PlatformFault) -> String? {
        guard let provider = root["provider"] else { return nil }
        guard let provider = provider as? [String: Any] else { throw wrong("provider: should have name and gateway.") }
        return (provider["gateway"] as? String).flatMap { $0.isEmpty ? nil : $0 }
    }

    func functions(_ root: [String: Any]) throws(PlatformFault) -> [StackFile.Function] {
        guard let entries = root["functions"] as? [String: Any], !entries.isEmpty else {
            throw wrong("has no functions.")
        }
        var functions: [StackFile.Function] = []
        for name in entries.keys.sorted() {
            guard let entry = entries[name] as? [String: Any] else { throw wrong("\(name): should be a map of keys.") }
            functions.append(try function(name, entry))
        }
        return functions
    }

    func unknownKeys(_ root: [String: Any]) -> [String] {
        let entries = root["functions"] as? [String: Any] ?? [:]
        return entries.keys.sorted().flatMap { name in
            let keys = (entries[name] as? [String: Any])?.keys.filter { !Self.functionKeys.contains($0) } ?? []
            return keys.sorted().map { "\(name): the key \"\($0)\" is not known and not used." }
        }
    }

    private func function(_ name: String, _ entry: [String: Any]) throws(PlatformFault) -> StackFile.Function {
        try NameRule.checkFunction(name)
        let language = try text(entry, "lang", name)
        var deployment = FunctionDeployment(service: name, image: try text(entry, "image", name) ?? "")
        deployment.namespace = try text(entry, "namespace", name)
        deployment.envProcess = try text(entry, "fprocess", name)
        deployment.envVars = try environment(entry, name)
        deployment.secrets = try list(entry, "secrets", name)
        deployment.constraints = try list(entry, "constraints", name)
        deployment.labels = try map(entry, "labels", name)
        deployment.annotations = try map(entry, "annotations", name)
        deployment.limits = try resources(entry, "limits", name)
        deployment.requests = try resources(entry, "requests", name)
        deployment.readOnlyRootFilesystem = try flag(entry, "readonly_root_filesystem", name)
        if deployment.image.isEmpty { deployment.image = language?.isEmpty == false ? "\(name):latest" : "" }
        return StackFile.Function(
            name: name,
            language: language,
            handler: try text(entry, "handler", name).map(absolute),
            skipsBuild: try flag(entry, "skip_build", name) ?? false,
            deployment: deployment
        )
    }

    private func environment(_ entry: [String: Any], _ name: String) throws(PlatformFault) -> [String: String]? {
        // As faas-cli has it, a file wins over what stands beside it, and a later file over an earlier one.
        var all = try map(entry, "environment", name) ?? [:]
        for file in try list(entry, "environment_file", name) ?? [] {
            guard let text = try? String(contentsOfFile: absolute(file), encoding: .utf8) else {
                throw wrong("\(name): the environment_file \(file) cannot be read.")
            }
            guard let tree = try? YAMLMapping.readTexts(text),
                let values = try map(tree, "environment", "\(name): the environment_file \(file)")
            else {
                throw wrong("\(name): the environment_file \(file) has no environment.")
            }
            all.merge(values) { _, new in new }
        }
        return all.isEmpty ? nil : all
    }

    private func resources(
        _ entry: [String: Any],
        _ key: String,
        _ name: String
    ) throws(PlatformFault) -> FunctionResources? {
        guard let amounts = try map(entry, key, name) else { return nil }
        return FunctionResources(memory: amounts["memory"], cpu: amounts["cpu"])
    }

    // MARK: Values

    private func text(_ entry: [String: Any], _ key: String, _ name: String) throws(PlatformFault) -> String? {
        guard let value = entry[key], !(value is NSNull) else { return nil }
        return try scalar(value, "\(name).\(key)")
    }

    private func flag(_ entry: [String: Any], _ key: String, _ name: String) throws(PlatformFault) -> Bool? {
        guard let value = entry[key], !(value is NSNull) else { return nil }
        switch (value as? String)?.lowercased() {
        case "true", "yes", "on", "y": return true
        case "false", "no", "off", "n": return false
        default: throw wrong("\(name).\(key): should be true or false.")
        }
    }

    private func list(_ entry: [String: Any], _ key: String, _ name: String) throws(PlatformFault) -> [String]? {
        guard let value = entry[key], !(value is NSNull) else { return nil }
        if let one = value as? String { return [one] }
        guard let items = value as? [Any] else { throw wrong("\(name).\(key): should be a list.") }
        return try items.map { item throws(PlatformFault) in try scalar(item, "\(name).\(key)") }
    }

    private func map(
        _ entry: [String: Any],
        _ key: String,
        _ name: String
    ) throws(PlatformFault) -> [String: String]? {
        guard let value = entry[key], !(value is NSNull) else { return nil }
        guard let items = value as? [String: Any] else { throw wrong("\(name).\(key): should be a map.") }
        var texts: [String: String] = [:]
        for (item, value) in items { texts[item] = try scalar(value, "\(name).\(key).\(item)") }
        return texts
    }

    /// What was typed; a missing value is empty.
    private func scalar(_ value: Any, _ place: String) throws(PlatformFault) -> String {
        if value is NSNull { return "" }
        guard let text = value as? String else { throw wrong("\(place): should be a text.") }
        return text
    }

    private func absolute(_ path: String) -> String {
        path.hasPrefix("/") ? path : URL(fileURLWithPath: "\(folder)/\(path)").standardizedFileURL.path
    }

    private func wrong(_ what: String) -> PlatformFault {
        PlatformFault(.invalidValue, "The stack file \((path as NSString).lastPathComponent) \(what)")
    }
}
