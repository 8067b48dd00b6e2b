// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
import FunctionModel
import YAMLReading

/// Takes a stack file's tree apart and says exactly what is wrong where.
struct StackReader {
    let path: String
    let folder: String

    private static let functionKeys: Set<String> = [
        "lang", "handler", "image", "fprocess", "environment", "environment_file", "secrets", "skip_build",
        "constraints", "labels", "annotations", "limits", "requests", "readonly_root_filesystem", "build_options",
        "build_args", "build_secrets", "platforms", "namespace",
    ]

    func root(_ text: String) throws(PlatformFault) -> [String: Any] {
        let tree: [String: Any]?
        do { tree = try YAMLMapping.read(text) } catch { throw wrong("is not YAML: \(error)") }
        guard let root = tree else { throw wrong("is no stack file: it has no functions.") }
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
        var all: [String: String] = [:]
        for file in try list(entry, "environment_file", name) ?? [] {
            guard let text = try? String(contentsOfFile: absolute(file), encoding: .utf8) else {
                throw wrong("\(name): the environment_file \(file) cannot be read.")
            }
            let tree = try? YAMLMapping.read(text)
            guard let values = tree?["environment"] as? [String: Any] else {
                throw wrong("\(name): the environment_file \(file) has no environment.")
            }
            all.merge(values.mapValues(scalar)) { _, new in new }
        }
        all.merge(try map(entry, "environment", name) ?? [:]) { _, new in new }
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
        guard !(value is [Any]), !(value is [String: Any]) else { throw wrong("\(name).\(key): should be a text.") }
        return scalar(value)
    }

    private func flag(_ entry: [String: Any], _ key: String, _ name: String) throws(PlatformFault) -> Bool? {
        guard let value = entry[key], !(value is NSNull) else { return nil }
        guard let flag = value as? Bool else { throw wrong("\(name).\(key): should be true or false.") }
        return flag
    }

    private func list(_ entry: [String: Any], _ key: String, _ name: String) throws(PlatformFault) -> [String]? {
        guard let value = entry[key], !(value is NSNull) else { return nil }
        if let one = value as? String { return [one] }
        guard let items = value as? [Any] else { throw wrong("\(name).\(key): should be a list.") }
        return items.map(scalar)
    }

    private func map(
        _ entry: [String: Any],
        _ key: String,
        _ name: String
    ) throws(PlatformFault) -> [String: String]? {
        guard let value = entry[key], !(value is NSNull) else { return nil }
        guard let items = value as? [String: Any] else { throw wrong("\(name).\(key): should be a map.") }
        return items.mapValues(scalar)
    }

    /// A scalar as text: `true` stays `true`, a missing value is empty.
    private func scalar(_ value: Any) -> String { value is NSNull ? "" : "\(value)" }

    private func absolute(_ path: String) -> String {
        path.hasPrefix("/") ? path : URL(fileURLWithPath: "\(folder)/\(path)").standardizedFileURL.path
    }

    private func wrong(_ what: String) -> PlatformFault {
        PlatformFault(.invalidValue, "The stack file \((path as NSString).lastPathComponent) \(what)")
    }
}
