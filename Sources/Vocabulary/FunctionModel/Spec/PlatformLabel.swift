// SPDX-License-Identifier: Apache-2.0

/// A label or an annotation of Martlet's own: the one list of those that are read, and documented.
public struct PlatformLabel: Sendable, Equatable {
    /// Where it usually stands; each is read in the other place, too.
    public enum Place: String, Sendable {
        /// Among the labels.
        case label
        /// Among the annotations, whose values may be any text.
        case annotation
    }

    /// Its whole name.
    public let name: String
    /// Where it usually stands.
    public let place: Place
    /// What it means, as the documentation has it.
    public let meaning: String

    private init(_ name: String, _ place: Place, _ meaning: String) {
        self.name = Self.prefix + name
        self.place = place
        self.meaning = meaning
    }

    /// How all of them begin.
    public static let prefix = "com.martlet."

    /// Calls that wait while all replicas are at `max_inflight`.
    public static let queueDepth = PlatformLabel(
        "queue.depth",
        .label,
        "calls that wait while all replicas are at `max_inflight`, 100 without it; more get 429"
    )
    /// How long a replica may take to become ready.
    public static let startTimeout = PlatformLabel(
        "start.timeout",
        .label,
        "how long a replica may take to become ready, `60s` without it"
    )
    /// Most processes and threads of a replica.
    public static let processLimit = PlatformLabel(
        "limits.pids",
        .label,
        "most processes and threads of a replica, where control groups can be written"
    )
    /// What Prometheus is asked for the load.
    public static let scaleQuery = PlatformLabel(
        "scale.query",
        .annotation,
        "a PromQL expression whose value is the load: [autoscaling](autoscaling.md)"
    )
    /// Further paths of a function.
    public static let path = PlatformLabel(
        "path",
        .annotation,
        "further paths at which the function is called, as `/shop, /cart`"
    )
    /// The methods that a function may be called with.
    public static let methods = PlatformLabel(
        "methods",
        .annotation,
        "the methods that the function may be called with, as `GET, POST`; others get 405"
    )
    /// Who may call a function.
    public static let access = PlatformLabel(
        "access",
        .annotation,
        "who may call the function: `public`, which it is without it"
    )

    /// When a container image is pulled.
    public static let imagePull = PlatformLabel(
        "image.pull",
        .annotation,
        "when a container image is pulled: `Always`, `IfNotPresent` or `Never`, over the setting"
    )
    /// The port on which a function listens in its container.
    public static let port = PlatformLabel(
        "port",
        .annotation,
        "the port on which the function listens in its container, 8080 without it"
    )

    /// All of them, by name.
    public static let all = [
        access, imagePull, processLimit, methods, path, port, queueDepth, scaleQuery, startTimeout,
    ]
}

extension SpecReader {
    /// So many unknown names are told of: nobody reads more, and each is compared with all that there are.
    private static let toldNames = 8

    /// Notes the labels and annotations with Martlet's prefix that nobody reads.
    mutating func noteUnknownLabels() {
        let known = PlatformLabel.all.map(\.name)
        func unknown(_ names: some Sequence<String>) -> [String] {
            names.filter { $0.hasPrefix(PlatformLabel.prefix) && !known.contains($0) }.sorted()
        }
        let names = unknown(labels.keys).map { ("label", $0) } + unknown(annotations.keys).map { ("annotation", $0) }
        for (place, name) in names.prefix(Self.toldNames) {
            note(
                "There is no \(place) \(NameRule.printable(name)).",
                hint: NearestName.of(name, in: known, within: 3).map { "The nearest that there is: \($0)." }
            )
        }
    }
}
