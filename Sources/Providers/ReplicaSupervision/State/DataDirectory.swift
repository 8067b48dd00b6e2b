// SPDX-License-Identifier: Apache-2.0

public import FaultModel
public import Foundation
import ProcessControl

/// The folder that holds everything that lasts, owned by one running Martlet at a time (martlet-api "Data directory").
public final class DataDirectory: Sendable {
    /// The folder's absolute path.
    public let path: String
    /// The installation's identity, made once.
    public let instance: String
    private let lock: Int32

    /// Opens the folder, making it where it is missing, and takes possession of it.
    ///
    /// - Throws: `storageUnavailable` when it cannot be used, `conflict` when another Martlet owns it.
    public init(path: String) throws(PlatformFault) {
        let path = URL(fileURLWithPath: path).standardizedFileURL.path
        try Self.makeFolder(path)
        lock = try Self.takeLock(path)
        self.path = path
        do throws(PlatformFault) {
            for folder in ["secrets", "bundles", "incoming", "logs", "run", "spill"] {
                try Self.makeFolder("\(path)/\(folder)")
            }
            DurableFile.removeLeftovers(in: path)
            instance = try Self.readInstance(path)
        } catch {
            close(lock)
            throw error
        }
    }

    deinit { close(lock) }

    /// Lets another Martlet take possession of it; nothing in it is written by this one any more.
    public func release() { flock(lock, LOCK_UN) }

    /// What tells a data directory from all others on this machine; nil where there is none.
    public static func identity(ofDirectory path: String) -> String? {
        var status = stat()
        guard stat("\(path)/lock", &status) == 0 else { return nil }
        return "\(status.st_dev)-\(status.st_ino)"
    }

    /// The path of something inside.
    public func file(_ name: String) -> String { "\(path)/\(name)" }

    /// Makes the folder where it is missing, for whoever keeps files in it that another program may own.
    ///
    /// - Throws: `storageUnavailable` when it cannot be used.
    public static func makeFolder(_ path: String) throws(PlatformFault) {
        var isFolder: ObjCBool = false
        if FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) {
            guard isFolder.boolValue else {
                throw PlatformFault(.storageUnavailable, "The data directory's path is a file: \(path)")
            }
        } else {
            do {
                try FileManager.default.createDirectory(
                    atPath: path,
                    withIntermediateDirectories: true,
                    attributes: [.posixPermissions: 0o700]
                )
            } catch {
                throw PlatformFault(
                    .storageUnavailable,
                    "The data directory cannot be made: \(path)",
                    hint: "Choose another one by --data-dir.",
                    cause: error
                )
            }
        }
        guard access(path, R_OK | W_OK | X_OK) == 0 else {
            throw PlatformFault(
                .storageUnavailable,
                "The data directory cannot be written: \(path)",
                hint: "Give this user the right to write there, or choose another one by --data-dir."
            )
        }
    }

    /// The lock is the open file, so it goes with the process however that ends.
    private static func takeLock(_ path: String) throws(PlatformFault) -> Int32 {
        let descriptor = open("\(path)/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw PlatformFault(
                .storageUnavailable,
                "The data directory cannot be written: \(path) (\(String(cString: strerror(errno))))",
                hint: "Give this user the right to write there, or choose another one by --data-dir."
            )
        }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            var bytes = [UInt8](repeating: 0, count: 32)
            let count = read(descriptor, &bytes, bytes.count)
            let owner = String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
                .trimmingCharacters(in: .whitespacesAndNewlines)
            close(descriptor)
            throw PlatformFault(
                .conflict,
                "Another Martlet (process \(owner)) uses the data directory \(path).",
                hint: "Stop it, or choose another data directory by --data-dir."
            )
        }
        let text = "\(getpid())\n"
        ftruncate(descriptor, 0)
        _ = write(descriptor, text, text.utf8.count)
        return descriptor
    }

    /// Names this directory on this machine: a copy has the same instance, but not the same lock.
    package var owner: String {
        var status = stat()
        fstat(lock, &status)
        return "\(instance)-\(status.st_dev)-\(status.st_ino)"
    }

    private static func readInstance(_ path: String) throws(PlatformFault) -> String {
        if let text = try? String(contentsOfFile: "\(path)/instance", encoding: .utf8) {
            let instance = text.trimmingCharacters(in: .whitespacesAndNewlines)
            if UUID(uuidString: instance) != nil { return instance }
        }
        let instance = UUID().uuidString.lowercased()
        try DurableFile.write(Data((instance + "\n").utf8), to: "\(path)/instance", mode: 0o600)
        return instance
    }
}

/// Small files that are either as they were or as they are to be, whatever happens in between.
public enum DurableFile {
    /// Writes a file beside the old one, syncs it, puts it in place, and syncs the folder.
    ///
    /// Where names beside the file may be somebody else's, `incoming` is a folder of the same file system for what is
    /// not in place yet.
    ///
    /// Blocks. - Throws: `storageUnavailable`; the old file is untouched then.
    public static func write(
        _ data: Data,
        to path: String,
        mode: UInt32,
        incoming: String? = nil
    ) throws(PlatformFault) {
        let unique = UUID().uuidString
        let temporary = incoming.map { "\($0)/\(unique)" } ?? "\(path).\(unique).new"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode)
        guard descriptor >= 0 else { throw failure() }
        let isWritten = data.withUnsafeBytes { SystemFile.writeAll($0, to: descriptor) } && fsync(descriptor) == 0
        close(descriptor)
        guard isWritten, rename(temporary, path) == 0 else {
            let fault = failure()
            unlink(temporary)
            throw fault
        }
        syncFolder(of: path)
    }

    /// Removes what a crash left of files that were being written in a folder: `NAME.UUID.new`.
    ///
    /// Blocks.
    static func removeLeftovers(in folder: String) {
        for name in (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [] where isLeftover(name) {
            unlink("\(folder)/\(name)")
        }
    }

    /// Upper case as Foundation writes it: a name in lower case is a user's.
    private static func isLeftover(_ name: String) -> Bool {
        let parts = name.split(separator: ".")
        guard parts.count > 2, parts.last == "new" else { return false }
        let unique = String(parts[parts.count - 2])
        return UUID(uuidString: unique)?.uuidString == unique
    }

    /// Makes the names in a file's folder last.
    package static func syncFolder(of path: String) {
        SystemFile.syncFolder((path as NSString).deletingLastPathComponent)
    }

    private static func failure() -> PlatformFault {
        PlatformFault(
            .storageUnavailable,
            "A file of the data directory cannot be written: \(String(cString: strerror(errno))).",
            hint: "Check the free space and the rights of the data directory."
        )
    }
}
