// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
import SystemClient
import YAMLReading
import Yams

/// `~/.openfaas/config.yml`, shared with faas-cli (martlet-api "Files of clients").
///
/// Keys that are not ours are kept.
struct OpenFaaSConfig {
    private let path: String

    init(environment: [String: String]) {
        let folder = environment["OPENFAAS_CONFIG"].flatMap { $0.isEmpty ? nil : $0 }
        path = (folder ?? "\(environment["HOME"] ?? ".")/.openfaas") + "/config.yml"
    }

    /// The login stored for a gateway.
    func login(for gateway: String) -> SystemClient.Login? {
        let entry = entries.first { Self.same($0["gateway"] as? String, gateway) }
        guard entry?["auth"] as? String == "basic", let token = entry?["token"] as? String,
            let data = Data(base64Encoded: token), let colon = data.firstIndex(of: UInt8(ascii: ":"))
        else { return nil }
        return SystemClient.Login(
            user: String(decoding: data[..<colon], as: UTF8.self),
            password: String(decoding: data[data.index(after: colon)...], as: UTF8.self)
        )
    }

    /// Stores a login for a gateway instead of the one before.
    func store(user: String, password: String, for gateway: String) throws(PlatformFault) {
        var entries = entries.filter { !Self.same($0["gateway"] as? String, gateway) }
        let token = Data("\(user):\(password)".utf8).base64EncodedString()
        entries.append(["gateway": gateway, "auth": "basic", "token": token])
        try write(entries)
    }

    /// Forgets the login of a gateway; false when there was none.
    func remove(_ gateway: String) throws(PlatformFault) -> Bool {
        let kept = entries.filter { !Self.same($0["gateway"] as? String, gateway) }
        guard kept.count < entries.count else { return false }
        try write(kept)
        return true
    }

    private var tree: [String: Any] {
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { return [:] }
        return (try? YAMLMapping.read(text)) ?? [:]
    }

    private var entries: [[String: Any]] { tree["auths"] as? [[String: Any]] ?? [] }

    private func write(_ entries: [[String: Any]]) throws(PlatformFault) {
        var tree = tree
        tree["auths"] = entries
        do {
            let folder = (path as NSString).deletingLastPathComponent
            try FileManager.default.createDirectory(
                atPath: folder,
                withIntermediateDirectories: true,
                attributes: [.posixPermissions: 0o700]
            )
            let temporary = "\(path).\(UUID().uuidString)"
            let data = Data(try Yams.dump(object: tree, sortKeys: true).utf8)
            guard
                FileManager.default.createFile(
                    atPath: temporary,
                    contents: data,
                    attributes: [.posixPermissions: 0o600]
                ),
                rename(temporary, path) == 0
            else { throw POSIXError(.EIO) }
        } catch {
            throw PlatformFault(.storageUnavailable, "The login cannot be stored in \(path).", cause: error)
        }
    }

    private static func same(_ left: String?, _ right: String) -> Bool {
        func plain(_ url: String) -> String { (url.hasSuffix("/") ? String(url.dropLast()) : url).lowercased() }
        return left.map { plain($0) == plain(right) } ?? false
    }
}
