// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
import FunctionModel

/// Secrets as files `secrets/NAMESPACE/NAME`, readable by their owner only.
///
/// All methods block.
///
/// Names are checked on each way in: a name becomes a path here.
struct SecretStore: Sendable {
    let folder: String

    func names(in namespace: String) -> [String] {
        let files = (try? FileManager.default.contentsOfDirectory(atPath: "\(folder)/\(namespace)")) ?? []
        return files.filter { !$0.hasSuffix(".new") }.sorted()
    }

    func exists(_ name: String, in namespace: String) -> Bool {
        FileManager.default.fileExists(atPath: path(name, namespace))
    }

    func value(of name: String, in namespace: String) throws -> Data {
        try Data(contentsOf: URL(fileURLWithPath: path(name, namespace)))
    }

    func write(_ value: [UInt8], as name: String, in namespace: String) throws(PlatformFault) {
        try NameRule.checkSecret(name)
        mkdir("\(folder)/\(namespace)", 0o700)
        try DurableFile.write(Data(value), to: path(name, namespace), mode: 0o600)
    }

    func remove(_ name: String, in namespace: String) throws(PlatformFault) {
        try NameRule.checkSecret(name)
        guard unlink(path(name, namespace)) == 0 else {
            throw PlatformFault(.notFound, "There is no secret \(name) in the namespace \(namespace).")
        }
        DurableFile.syncFolder(of: path(name, namespace))
    }

    private func path(_ name: String, _ namespace: String) -> String { "\(folder)/\(namespace)/\(name)" }
}
