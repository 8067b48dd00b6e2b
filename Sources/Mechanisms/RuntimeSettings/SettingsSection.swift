// SPDX-License-Identifier: Apache-2.0

/// Settings that belong together, kept by the module that they are for.
///
/// To read them is to declare them: `init` asks the reader for each, whatever the others say, so that each is known,
/// checked and shown.
public protocol SettingsSection: Sendable {
    /// The name below which they may stand in `martlet.yaml`; nil for those that are read before the file is.
    ///
    /// Several sections may share a name.
    static var name: String? { get }

    /// Reads each setting; what is wrong is told to the reader.
    init(_ reader: inout SettingsReader)
}

extension SettingsSection {
    /// What may be set, found out by reading where nothing is said.
    public static var readings: [SettingReading] {
        var reader = SettingsReader()
        _ = reader.section(Self.self)
        return reader.readings
    }
}
