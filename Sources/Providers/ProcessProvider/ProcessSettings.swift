// SPDX-License-Identifier: Apache-2.0

public import RuntimeSettings

/// What the process provider is set by.
public struct ProcessSettings: SettingsSection {
    /// Below which they stand in the file.
    public static let name: String? = "provider"

    /// Whether limits that nothing enforces here are refused.
    public let requiresLimits: Bool

    /// Reads them.
    public init(_ reader: inout SettingsReader) {
        requiresLimits = reader.bool(
            Setting(
                "require-limits",
                default: "false",
                "Refuse limits that this machine does not enforce.",
                flag: .says("true")
            )
        )
    }
}
