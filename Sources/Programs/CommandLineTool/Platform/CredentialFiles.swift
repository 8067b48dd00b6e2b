// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
import FunctionModel
import ReplicaSupervision
import SystemAPI
import SystemClient

/// The platform's user and password, as files that OpenFaaS' tools know (contract §2.1).
struct CredentialFiles {
    let folder: String
    /// Whether the folder is the data directory.
    let isOwn: Bool

    var passwordPath: String { "\(folder)/basic-auth-password" }
    private var userPath: String { "\(folder)/basic-auth-user" }

    /// Reads both, making them at the first start: user `admin` and a random password.
    ///
    /// Blocks.
    func readOrMake() throws(PlatformFault) -> Credentials {
        // What others keep elsewhere is theirs to make: a folder that is missing is a name that is wrong.
        if isOwn { try DataDirectory.makeFolder(folder) } else { try checkFolder() }
        if !FileManager.default.fileExists(atPath: userPath) {
            try DurableFile.write(Data("admin\n".utf8), to: userPath, mode: 0o600)
        }
        if !FileManager.default.fileExists(atPath: passwordPath) {
            try DurableFile.write(Data((Self.randomPassword() + "\n").utf8), to: passwordPath, mode: 0o600)
        }
        let advice = "Remove it to have a new one made, or start with --no-auth."
        return Credentials(user: try read(userPath, advice), password: try read(passwordPath, advice))
    }

    private func checkFolder() throws(PlatformFault) {
        var isFolder: ObjCBool = false
        guard !FileManager.default.fileExists(atPath: folder, isDirectory: &isFolder) || !isFolder.boolValue else {
            return
        }
        throw PlatformFault(
            .badSettings,
            "The setting secret-mount-path names \(NameRule.printable(folder)), which is no folder.",
            hint: "Name the folder of basic-auth-user and basic-auth-password by it, or leave it out."
        )
    }

    /// Both as a client needs them.
    ///
    /// Blocks.
    func login() throws(PlatformFault) -> SystemClient.Login {
        let advice = "Copy it to \(folder) from where it was made, or start with --no-auth."
        return SystemClient.Login(user: try read(userPath, advice), password: try read(passwordPath, advice))
    }

    private func read(_ path: String, _ advice: String) throws(PlatformFault) -> String {
        let text = (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
        let trimmed = text.trimmingCharacters(in: .whitespacesAndNewlines)
        guard !trimmed.isEmpty else {
            throw PlatformFault(
                .badSettings,
                "The file \((path as NSString).lastPathComponent) of the credentials is empty or cannot be read.",
                hint: advice
            )
        }
        return trimmed
    }

    /// 190 bits from the system's generator.
    private static func randomPassword() -> String {
        let letters = Array("ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789")
        var generator = SystemRandomNumberGenerator()
        return String((0..<32).compactMap { _ in letters.randomElement(using: &generator) })
    }
}
