// SPDX-License-Identifier: Apache-2.0

public import ArgumentParser
import FunctionModel

/// The `martlet` command.
public struct MartletCommand: AsyncParsableCommand {
    /// What `--help` says.
    public static let configuration = CommandConfiguration(
        commandName: "martlet",
        abstract: "Functions on your own machine, compatible with OpenFaaS.",
        discussion: """
            Start the platform, then deploy and call a function:

              martlet up
              martlet deploy hello --image host --fprocess "cat"
              echo hi | martlet invoke hello
            """,
        version: "martlet \(Release.number)",
        groupedSubcommands: [
            CommandGroup(
                name: "Functions",
                subcommands: [
                    DeployCommand.self, ListCommand.self, DescribeCommand.self, InvokeCommand.self, LogsCommand.self,
                    ScaleCommand.self, RemoveCommand.self, ReadyCommand.self, CallsCommand.self,
                ]
            ),
            CommandGroup(
                name: "Code",
                subcommands: [NewCommand.self, BuildCommand.self, TemplatesCommand.self]
            ),
            CommandGroup(
                name: "Platform",
                subcommands: [
                    UpCommand.self, GatewayCommand.self, ProviderCommand.self, QueueWorkerCommand.self,
                    DoctorCommand.self, LoginCommand.self,
                    LogoutCommand.self,
                    SecretCommand.self, NamespaceCommand.self,
                    VersionCommand.self,
                ]
            ),
        ]
    )

    /// Makes the command.
    public init() {}
}
