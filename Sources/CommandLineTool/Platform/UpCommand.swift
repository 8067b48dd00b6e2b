// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import FaultModel
import Foundation
import RuntimeSettings

/// `martlet up`: the whole platform in one process.
struct UpCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "up",
        abstract: "Start the platform in the foreground.",
        discussion: """
            Everything runs in this one process: gateway, functions and their state. The first Ctrl-C lets calls end \
            for 10 s, the second ends at once.

            Each flag has an environment variable (MARTLET_PORT for --port) and a line in martlet.yaml of the data \
            directory; the flag wins, then the variable, then the file.
            """
    )

    @OptionGroup var options: PlatformOptions

    func run() async throws {
        try await runCommand {
            let settings = try options.settings()
            if options.showSettings { return options.printSettings(settings) }
            let platform = try await Platform(settings)
            let addresses = try await platform.start()
            print(StartText(settings, addresses, limitsAreEnforced: platform.limitsAreEnforced).text)
            fflush(nil)
            await platform.runUntilSignal()
        }
    }
}
