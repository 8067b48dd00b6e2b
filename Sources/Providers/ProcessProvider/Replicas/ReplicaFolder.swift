// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionModel
import NIOCore
import ProcessControl
import ReplicaSupervision
import Synchronization

/// What is a replica's own on disk: its home, its temporary folder, its secrets.
///
/// Emptied when the replica has ended, and kept for the function's next one or removed: making folders takes longer than
/// starting a process.
struct ReplicaFolder: Sendable {
    let path: String
    var home: String { "\(path)/home" }
    var temporary: String { "\(path)/tmp" }
    var secrets: String { "\(path)/secrets" }
    /// Where a function without a bundle starts.
    var empty: String { "\(path)/empty" }

    /// Where functions made for containers look for their secrets (contract §8.1).
    static let secretMountPoint = "/var/openfaas/secrets"

    /// Makes the folder and copies the secrets into it.
    ///
    /// Blocks for some file operations.
    func create(secrets names: [String], from store: SecretStore, namespace: String) throws {
        // A value that was replaced while the replica before was being tidied up may have come behind that.
        if rmdir(secrets) != 0, errno == ENOTEMPTY { try FileManager.default.removeItem(atPath: secrets) }
        for folder in [path, home, temporary, secrets, empty] where mkdir(folder, 0o700) != 0 && errno != EEXIST {
            throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO)
        }
        for name in names {
            let value = try store.value(of: name, in: namespace)
            let file = "\(secrets)/\(name)"
            guard FileManager.default.createFile(atPath: file, contents: value, attributes: [.posixPermissions: 0o400])
            else { throw POSIXError(.EIO) }
        }
        if !names.isEmpty, PrivateMounts.areAvailable {
            try? FileManager.default.createDirectory(
                atPath: Self.secretMountPoint,
                withIntermediateDirectories: true
            )
        }
    }

    /// A private view of the secrets at the usual place, where the system allows it.
    func mount(hasSecrets: Bool) -> ProcessSpec.PrivateMount? {
        guard hasSecrets, PrivateMounts.areAvailable,
            FileManager.default.fileExists(atPath: Self.secretMountPoint)
        else { return nil }
        return ProcessSpec.PrivateMount(source: secrets, target: Self.secretMountPoint)
    }

    /// Empties it for the next replica of the same function; false when it is not as it was made, and of no more use.
    ///
    /// Links are not followed: what lies elsewhere is not ours to empty.
    func tidy() -> Bool {
        let folders = [home, temporary, secrets, empty]
        let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
        guard Set(names.map { "\(path)/\($0)" }) == Set(folders), folders.allSatisfy(Self.isFolder) else {
            return false
        }
        for folder in folders {
            for name in (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [] {
                guard (try? FileManager.default.removeItem(atPath: "\(folder)/\(name)")) != nil else { return false }
            }
        }
        return true
    }

    private static func isFolder(_ path: String) -> Bool {
        var status = stat()
        return lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR && chmod(path, 0o700) == 0
    }

    func remove() { try? FileManager.default.removeItem(atPath: path) }
}

/// Empties the folders of replicas that have ended, where nobody waits for the disk: a function may have left a million
/// files.
final class FolderTidying: Sendable {
    private let loop: any EventLoop
    private let isClosed = Mutex(false)

    init(loop: any EventLoop) { self.loop = loop }

    /// Empties a folder and hands it on, on the loop; one that is of no more use is removed.
    func tidy(_ folder: ReplicaFolder, then handOn: @escaping @Sendable (ReplicaFolder) -> Void) {
        DispatchQueue.global(qos: .utility).async { [self] in
            guard folder.tidy() else { return folder.remove() }
            isClosed.withLock { isClosed in
                if !isClosed { loop.execute { handOn(folder) } }
            }
        }
    }

    /// Hands nothing on any more, since the loop is about to end.
    ///
    /// What is not empty yet is removed at the next start.
    func close() { isClosed.withLock { $0 = true } }
}

/// The environment of a replica (martlet-api "A function's environment"): ours, the bundle's, the deployment's; nothing
/// of the host's.
struct ReplicaEnvironment {
    static let usualPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

    let variables: [(name: String, value: String)]

    /// The `PATH` that it runs with.
    var path: String { variables.first { $0.name == "PATH" }?.value ?? "" }

    init(_ revision: FunctionRevision, folder: ReplicaFolder, port: Int?, platformURL: String) {
        var values: [String: String] = [
            "PATH": Self.usualPath,
            "HOME": folder.home,
            "TMPDIR": folder.temporary,
            "LANG": "C.UTF-8",
            "OPENFAAS_NAME": revision.id.name,
            "OPENFAAS_NAMESPACE": revision.id.namespace,
            "OPENFAAS_URL": platformURL,
            "secret_mount_path": folder.secrets,
            "fprocess": revision.run.command.joined(separator: " "),
        ]
        if let port { values["PORT"] = String(port) }
        values.merge(revision.spec.run.environment) { _, new in new }
        if let port, let url = values["upstream_url"] { values["upstream_url"] = Self.filled(url, port) }
        // Ours alone, or a function could say that it is not one.
        values[ProcessMarks.variable] = nil
        variables = values.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

    /// A text with `$PORT` and `${PORT}` replaced.
    static func filled(_ text: String, _ port: Int) -> String {
        text.replacing("${PORT}", with: String(port)).replacing("$PORT", with: String(port))
    }
}
