// SPDX-License-Identifier: Apache-2.0

import FunctionModel

/// Which replica a container is: what its labels say, by which it is found again.
///
/// The function's own labels stand in one label of their own, since those of the image are mixed with the container's.
struct ContainerIdentity: Sendable, Equatable {
    /// Of the data directory that it belongs to.
    let instance: String
    let function: FunctionID
    let revision: Int
    /// Unique within its function.
    var replica: String
    /// Which of two runs it is of, where one takes the other's place.
    let generation: String

    /// The labels' names.
    enum Label {
        static let instance = PlatformLabel.prefix + "instance"
        static let function = PlatformLabel.prefix + "function"
        static let revision = PlatformLabel.prefix + "revision"
        static let replica = PlatformLabel.prefix + "replica"
        static let generation = PlatformLabel.prefix + "generation"
        /// A digest of everything that the container was made with.
        static let shape = PlatformLabel.prefix + "shape"
        /// The labels of the function, as a JSON object.
        static let functionLabels = PlatformLabel.prefix + "labels"
    }

    init(instance: String, function: FunctionID, revision: Int, replica: String, generation: String) {
        self.instance = instance
        self.function = function
        self.revision = revision
        self.replica = replica
        self.generation = generation
    }

    /// Nil for a container that is none of Martlet's.
    init?(labels: [String: String]) {
        guard let instance = labels[Label.instance], let function = labels[Label.function],
            let revision = labels[Label.revision].flatMap({ Int($0) }), let replica = labels[Label.replica],
            let generation = labels[Label.generation], let dot = function.lastIndex(of: ".")
        else { return nil }
        let (name, namespace) = (String(function[..<dot]), String(function[function.index(after: dot)...]))
        self.init(
            instance: instance,
            function: FunctionID(name: name, namespace: namespace),
            revision: revision,
            replica: replica,
            generation: generation
        )
    }

    /// The labels, without those of the function.
    var labels: [String: String] {
        [
            Label.instance: instance, Label.function: "\(function.name).\(function.namespace)",
            Label.revision: "\(revision)", Label.replica: replica, Label.generation: generation,
        ]
    }

    /// The name of the container, always the same for the same replica.
    ///
    /// Names of functions and namespaces are labels of DNS: all of their characters are allowed, and none is a dot.
    var containerName: String { "martlet-\(instance.prefix(8)).\(function.namespace).\(replica)" }
}
