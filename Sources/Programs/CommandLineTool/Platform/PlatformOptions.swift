// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import FaultModel
import Foundation
import RemoteProvider
import RuntimeSettings

/// The flags of every command that runs a part of the platform.
struct PlatformOptions: ParsableArguments {
    enum Common: FlagGroup {
        static let settings = PlatformSettings.readings.map(\.setting).filter { setting in
            !ofSome.contains { $0.name == setting.name }
        }
    }

    /// Those that only some of the commands have.
    private static let ofSome = StackFlags.settings + GatewayFlags.settings + RemoteFlags.settings

    @OptionGroup var flags: SettingFlags<Common>

    @Flag(help: "Print each setting with its value and where it came from, and end.")
    var showSettings = false

    /// The settings that hold; `more` are flags of a command alone.
    func settings(_ more: [String: String] = [:]) throws(PlatformFault) -> PlatformSettings {
        let flags = flags.values.merging(more) { _, own in own }
        return try PlatformSettings(flags: flags, environment: ProcessInfo.processInfo.environment)
    }

    func printSettings(_ settings: PlatformSettings) {
        for reading in settings.readings {
            let name = reading.setting.name.padding(toLength: 24, withPad: " ", startingAt: 0)
            print("\(name)\(reading.text.isEmpty ? "-" : reading.shown)  (\(reading.source))")
        }
    }
}

/// The flags of `martlet up` alone.
enum StackFlags: FlagGroup {
    static let settings = StackStart.Settings.readings.map(\.setting)
}

/// The flags of commands that work with a provider, or a gateway, elsewhere.
enum RemoteFlags: FlagGroup {
    static let settings = RemoteSettings.readings.map(\.setting)
}

/// The flags of `martlet gateway` alone.
enum GatewayFlags: FlagGroup {
    static let settings = GatewayCommand.Settings.readings.map(\.setting)
}
