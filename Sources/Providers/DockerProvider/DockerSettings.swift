// SPDX-License-Identifier: Apache-2.0

public import FunctionModel
public import RuntimeSettings

/// What the Docker provider is set by; where its engine is, Docker's own variables say (`DOCKER_HOST`).
public struct DockerSettings: SettingsSection {
    /// Below which they stand in the file.
    public static let name: String? = "provider"

    /// The address of this machine on which the engine publishes functions' ports.
    public let publishAddress: String
    /// How functions' containers are reached.
    public let reach: ContainerReach
    /// When images are pulled, where a function does not say it.
    public let pullPolicy: PullPolicy

    /// A loopback address of its own: a browser sends what it keeps for a host to each of its ports.
    public static let usualPublishAddress = "127.77.0.1"

    /// Reads them.
    public init(_ reader: inout SettingsReader) {
        let publish = Setting(
            "docker-publish-address",
            default: Self.usualPublishAddress,
            "Address on which a Docker engine publishes the ports of functions; where the engine is elsewhere, one of its machine's that is reached from here.",
            flag: .value
        )
        let address = reader.text(publish)
        publishAddress =
            Self.isAddress(address)
            ? address : reader.refuse(publish.name, "is not an address of numbers, as 127.77.0.1", address)
        reach = reader.word(
            Setting(
                "docker-reach",
                default: "auto",
                "How containers are reached: bridge (by their own addresses), published (by published ports), or auto (bridge where the engine is this machine's).",
                flag: .value
            )
        )
        pullPolicy = reader.word(
            Setting(
                "docker-pull",
                default: "IfNotPresent",
                "When container images are pulled: Always, IfNotPresent or Never; the annotation com.martlet.image.pull goes before.",
                flag: .value
            )
        )
    }

    private static func isAddress(_ text: String) -> Bool {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts.allSatisfy { UInt8($0) != nil }
    }
}
