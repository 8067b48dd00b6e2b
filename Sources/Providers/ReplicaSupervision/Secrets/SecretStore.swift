// SPDX-License-Identifier: Apache-2.0

import FaultModel
package import Foundation
import FunctionModel

/// Secrets as files `secrets/NAMESPACE/NAME`, readable by their owner only.
///
/// All methods block.
///
/// Names are checked on each way in: a name becomes a path here. Whatever else lies in a namespace's folder is no secret;
/// what is being written lies in a folder of its own, since any name of a file could be a secret's.
package struct SecretStore: Sendable {
    let folder: String
    /// Values on their way to their place; on the same file system.
    let incoming: String

    /// Keeps values on their way in a folder, unless the secrets have a file system of their own: then they stay on that,
    /// in a folder that no namespace can have.
    init(folder: String, preferring incoming: String) {
        self.folder = folder
        guard let own = Self.device(of: folder), own != Self.device(of: incoming) else {
            self.incoming = incoming
            return
        }
        self.incoming = "\(folder)/.incoming"
        mkdir(self.incoming, 0o700)
    }

    private static func device(of path: String) -> dev_t? {
        var status = stat()
        return stat(path, &status) == 0 ? status.st_dev : nil
    }

    func names(in namespace: String) -> [String] {
        files(in: namespace).filter(Self.isSecret).sorted()
    }

    func exists(_ name: String, in namespace: String) -> Bool {
        FileManager.default.fileExists(atPath: path(name, namespace))
    }

    package func value(of name: String, in namespace: String) throws -> Data {
        try Data(contentsOf: URL(fileURLWithPath: path(name, namespace)))
    }

    func write(_ value: [UInt8], as name: String, in namespace: String) throws(PlatformFault) {
        try NameRule.checkSecret(name)
        if mkdir("\(folder)/\(namespace)", 0o700) == 0 { DurableFile.syncFolder(of: "\(folder)/\(namespace)") }
        try DurableFile.write(Data(value), to: path(name, namespace), mode: 0o600, incoming: incoming)
    }

    func remove(_ name: String, in namespace: String) throws(PlatformFault) {
        try NameRule.checkSecret(name)
        guard unlink(path(name, namespace)) == 0 else {
            throw PlatformFault(.notFound, "There is no secret \(name) in the namespace \(namespace).")
        }
        DurableFile.syncFolder(of: path(name, namespace))
    }

    /// Removes whatever lies in the folder of a namespace that is gone, or is new: it has no secrets.
    func removeAll(in namespace: String) throws(PlatformFault) {
        try NameRule.checkNamespace(namespace)
        let place = "\(folder)/\(namespace)"
        var status = stat()
        guard lstat(place, &status) == 0 else { return }
        do { try FileManager.default.removeItem(atPath: place) } catch {
            throw PlatformFault(
                .storageUnavailable,
                "What is left of secrets in the namespace \(namespace) cannot be removed.",
                hint: "Check the rights of the data directory.",
                cause: error
            )
        }
        DurableFile.syncFolder(of: place)
    }

    /// Removes what a crash left of values that were being written, by earlier versions beside the secrets.
    func removeLeftovers() {
        for name in (try? FileManager.default.contentsOfDirectory(atPath: incoming)) ?? [] {
            unlink("\(incoming)/\(name)")
        }
        for namespace in (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [] {
            DurableFile.removeLeftovers(in: "\(folder)/\(namespace)")
        }
    }

    private func files(in namespace: String) -> [String] {
        (try? FileManager.default.contentsOfDirectory(atPath: "\(folder)/\(namespace)")) ?? []
    }

    private static func isSecret(_ name: String) -> Bool {
        do { try NameRule.checkSecret(name) } catch { return false }
        return true
    }

    private func path(_ name: String, _ namespace: String) -> String { "\(folder)/\(namespace)/\(name)" }
}
