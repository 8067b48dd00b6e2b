// SPDX-License-Identifier: Apache-2.0

import RuntimeSettings

/// Who may manage.
struct AccessSettings: SettingsSection {
    static let name: String? = "access"

    /// Whether managing needs the password.
    let requiresCredentials: Bool
    /// The folder of the credentials' files; nil for the data directory.
    let folder: String?

    init(_ reader: inout SettingsReader) {
        requiresCredentials = reader.bool(
            Setting(
                "auth",
                also: ["basic_auth"],
                default: "true",
                "Whether managing needs the password.",
                flag: .says("false", named: "no-auth", "Let everybody manage, without a password.")
            )
        )
        folder = reader.optionalText(
            Setting(
                "secret-mount-path",
                also: ["secret_mount_path"],
                "Folder of basic-auth-user and basic-auth-password; the data directory by default."
            )
        )
    }
}
