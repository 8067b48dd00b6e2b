// SPDX-License-Identifier: Apache-2.0

public import Foundation

/// A folder of a test's own, removed with its owner.
public final class TemporaryFolder: Sendable {
    /// Its path.
    public let path: String

    /// Makes the folder.
    public init() {
        path = FileManager.default.temporaryDirectory.appendingPathComponent("martlet-test-\(UUID().uuidString)").path
        try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// Writes a file and returns its path.
    @discardableResult
    public func write(_ name: String, _ text: String, isExecutable: Bool = false) -> String {
        let file = "\(path)/\(name)"
        let folder = (file as NSString).deletingLastPathComponent
        try? FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        // A program is written by another process: whoever this one starts meanwhile would hold the file open for writing, and
        // the system runs no such file.
        let written = isExecutable ? file + ".text" : file
        _ = FileManager.default.createFile(
            atPath: written,
            contents: Data(text.utf8),
            attributes: [.posixPermissions: isExecutable ? 0o755 : 0o644]
        )
        if isExecutable {
            Self.copy(written, to: file)
            try? FileManager.default.removeItem(atPath: written)
        }
        return file
    }

    private static func copy(_ file: String, to copy: String) {
        var arguments: [UnsafeMutablePointer<CChar>?] = []
        for argument in ["cp", "-p", file, copy] { arguments.append(strdup(argument)) }
        defer { for argument in arguments { free(argument) } }
        var process = pid_t()
        guard posix_spawn(&process, "/bin/cp", nil, nil, arguments + [nil], environ) == 0 else { return }
        var status = CInt()
        waitpid(process, &status, 0)
    }

    /// Removes a file.
    public func remove(_ name: String) { try? FileManager.default.removeItem(atPath: "\(path)/\(name)") }

    /// The files in this folder and what is in them.
    public var contents: [String: Data] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
        return Dictionary(
            uniqueKeysWithValues: names.compactMap { name in
                FileManager.default.contents(atPath: "\(path)/\(name)").map { (name, $0) }
            }
        )
    }

    /// Copies everything in this folder, as it is at the moment, into another one.
    public func copyContents(to other: TemporaryFolder) throws {
        for name in try FileManager.default.contentsOfDirectory(atPath: path) {
            try FileManager.default.copyItem(atPath: "\(path)/\(name)", toPath: "\(other.path)/\(name)")
        }
    }
}
