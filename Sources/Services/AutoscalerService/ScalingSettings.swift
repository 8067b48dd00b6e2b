// SPDX-License-Identifier: Apache-2.0

public import RuntimeSettings

/// What replicas follow.
public struct ScalingSettings: SettingsSection {
    /// Whether there is an autoscaler.
    public enum Autoscaling: String, Sendable, CaseIterable {
        /// With the whole platform, not with a part of it: several of those may be there, and only one may scale.
        case auto
        /// There is one.
        case on = "true"
        /// There is none.
        case off = "false"
    }

    /// Below which they stand in the file.
    public static let name: String? = "scaling"

    /// Whether replicas follow the load.
    public let autoscaling: Autoscaling
    /// The address of Prometheus, as `http://127.0.0.1:9090`; nil where none is configured.
    public let prometheusURL: String?

    /// Reads them.
    public init(_ reader: inout SettingsReader) {
        autoscaling = reader.word(
            Setting(
                "autoscaler",
                default: "auto",
                "Whether replicas follow the load: true, false; auto: with martlet up, not with a part of it.",
                flag: .value
            )
        )
        prometheusURL = reader.address(
            Setting(
                "prometheus-host",
                also: ["faas_prometheus_host"],
                "The Prometheus that sums the counts of several gateways and knows loads of custom kinds; none by default."
            ),
            Setting("prometheus-port", also: ["faas_prometheus_port"], default: "9090", "The port of that Prometheus.")
        )
    }
}
