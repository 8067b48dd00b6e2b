// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
import FunctionModel
import SystemClient

/// The password of this machine's own Martlet, for its user's verbs.
struct LocalLogin {
    private let dataDirectory: String

    init(environment: [String: String]) {
        let home = environment["HOME"] ?? "."
        let named = environment["MARTLET_DATA_DIR"].flatMap { $0.isEmpty ? nil : $0 } ?? "~/.martlet"
        dataDirectory = named.hasPrefix("~/") ? home + named.dropFirst(1) : named
    }

    private var passwordPath: String { "\(dataDirectory)/basic-auth-password" }

    /// What a gateway may be told.
    enum Answer {
        /// It is the Martlet whose password this is.
        case login(SystemClient.Login)
        /// There is a password, but nothing shows that it is this gateway's.
        case withheld
        /// There is no password here for that gateway.
        case none
    }

    /// The password for a gateway, if it is the Martlet of the data directory.
    func answer(for url: String) -> Answer {
        let owner = PlatformOwner(dataDirectory: dataDirectory)
        guard let isOurs = Self.question(url, owner),
            let password = try? String(contentsOfFile: passwordPath, encoding: .utf8)
        else { return .none }
        guard isOurs() else { return .withheld }
        return .login(
            SystemClient.Login(user: "admin", password: password.trimmingCharacters(in: .whitespacesAndNewlines))
        )
    }

    /// Finds out whether the owner of the data directory is at an address; nil for an address elsewhere.
    private static func question(_ url: String, _ owner: PlatformOwner) -> (() -> Bool)? {
        if let socket = UnixURL(url) { return { owner.holds(socket: socket.path) } }
        guard let address = ServerURL(url), ["127.0.0.1", "localhost", "::1"].contains(address.host) else { return nil }
        return { owner.holds(port: address.port) }
    }

    /// Why a gateway that wants a password was not told the one that there is.
    func explain(_ fault: PlatformFault, from url: String) -> PlatformFault {
        let url = ServerURL.shown(url)
        return PlatformFault(
            .unauthorized,
            "\(url) wants a password, and is not the Martlet that runs on \(dataDirectory): it was not told that one's.",
            hint: "If it is yours: martlet login --gateway \(url) --password-stdin < \(passwordPath)",
            cause: fault
        )
    }
}
