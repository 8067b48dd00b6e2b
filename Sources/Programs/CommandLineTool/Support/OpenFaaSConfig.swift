// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
import SystemClient
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
        let entry = entries(of: tree).first { Self.same($0["gateway"]?.string, gateway) }
        guard entry?["auth"]?.string == "basic", let token = entry?["token"]?.string,
            let data = Data(base64Encoded: token), let colon = data.firstIndex(of: UInt8(ascii: ":"))
        else { return nil }
        return SystemClient.Login(
            user: String(decoding: data[..<colon], as: UTF8.self),
            password: String(decoding: data[data.index(after: colon)...], as: UTF8.self)
        )
    }

    /// Stores a login for a gateway instead of the one before.
    func store(user: String, password: String, for gateway: String) throws(PlatformFault) {
        let tree = tree
        let others = entries(of: tree).filter { !Self.same($0["gateway"]?.string, gateway) }
        let token = Data("\(user):\(password)".utf8).base64EncodedString()
        let fields = [("gateway", gateway), ("auth", "basic"), ("token", token)]
        let entry = Node(fields.map { (Node($0), .scalar($1.represented())) })
        try write(others + [entry], to: tree)
    }

    /// Forgets the login of a gateway; false when there was none.
    func remove(_ gateway: String) throws(PlatformFault) -> Bool {
        let tree = tree
        let all = entries(of: tree)
        let kept = all.filter { !Self.same($0["gateway"]?.string, gateway) }
        guard kept.count < all.count else { return false }
        try write(kept, to: tree)
        return true
    }

    /// What the file says, as it is typed: what is not ours is written back as it was.
    private var tree: Node {
        guard let text = try? String(contentsOfFile: path, encoding: .utf8),
            let tree = try? Yams.compose(yaml: text), tree.mapping != nil
        else { return [:] }
        return tree
    }

    private func entries(of tree: Node) -> [Node] { tree["auths"]?.sequence.map(Array.init) ?? [] }

    private func write(_ entries: [Node], to tree: Node) throws(PlatformFault) {
        var tree = tree
        tree["auths"] = Node(entries)
        do {
            let folder = (path as NSString).deletingLastPathComponent
            try FileManager.default.createDirectory(
                atPath: folder,
                withIntermediateDirectories: true,
                attributes: [.posixPermissions: 0o700]
            )
            let temporary = "\(path).\(UUID().uuidString)"
            let data = Data(try Yams.serialize(node: tree).utf8)
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
