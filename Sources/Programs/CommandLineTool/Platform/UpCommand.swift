// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import FaultModel
import Foundation
import FunctionBuilder
import GatewayService
import NIOCore

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

    @OptionGroup var own: SettingFlags<StackFlags>

    @Flag(
        help: """
            Take the place of the Martlet that runs on the data directory. No call is refused; one that lasts longer than \
            that Martlet's drain-timeout is cut.
            """
    )
    var replace = false

    func run() async throws {
        try await runCommand {
            let settings = try options.settings(own.values)
            if options.showSettings { return options.printSettings(settings) }
            let stack = try settings.stack.file.map { path throws(PlatformFault) in
                try StackFile(path: path, environment: ProcessInfo.processInfo.environment)
            }
            let start = StackStart(settings: settings, stack: stack)
            // Where a platform answers already, its functions are brought up to date.
            if !replace, try await start.deployToRunning() { return }
            try await PlatformLog.with(settings.logs) { try await run(settings, start, $0) }
        }
    }

    private func run(_ settings: PlatformSettings, _ start: StackStart, _ log: PlatformLog) async throws {
        let platform = try await Platform(settings, replaces: replace, log: log)
        // Beside the wait for signals: Ctrl-C is heard while functions are built, too.
        try await platform.run { addresses in
            if let address = addresses.management { await start.deploy(to: address, log) }
            guard !Task.isCancelled else { return }
            let text = StartText(
                settings,
                addresses,
                limitsAreEnforced: platform.limitsAreEnforced,
                stack: start.stack,
                queueProblem: platform.queueProblem
            )
            log.say(text.text)
        }
    }
}
