// SPDX-License-Identifier: Apache-2.0

/// The right to do one thing with one kind of resource, named as OpenFaaS' policies name actions: `Function:List`.
public struct Permission: Sendable, Hashable {
    /// What something is done with.
    public enum Resource: String, Sendable {
        /// Functions, their replicas and their logs.
        case function = "Function"
        /// Secrets.
        case secret = "Secret"
        /// Namespaces.
        case namespace = "Namespace"
        /// Bundles that were uploaded.
        case bundle = "Bundle"
        /// Asynchronous calls.
        case call = "Call"
        /// The platform itself.
        case system = "System"
    }

    /// What is done.
    public enum Verb: String, Sendable {
        /// To see which there are.
        case list = "List"
        /// To see one.
        case get = "Get"
        /// To make one.
        case create = "Create"
        /// To change one.
        case update = "Update"
        /// To remove one.
        case delete = "Delete"
        /// To change the number of replicas.
        case scale = "Scale"
        /// To read what a function has written.
        case logs = "Logs"
        /// To see what became of calls, their results among it.
        case read = "Read"
        /// To have calls tried again.
        case retry = "Retry"
        /// To give up a call that waits.
        case cancel = "Cancel"
        /// To forget calls that are over.
        case purge = "Purge"
        /// To give a call away whole, or take it back.
        case export = "Export"
        /// To take over a call that was given away.
        case `import` = "Import"
        /// To see what this installation is.
        case info = "Info"
    }

    /// What something is done with.
    public let resource: Resource
    /// What is done.
    public let verb: Verb

    /// Makes a permission.
    public init(_ resource: Resource, _ verb: Verb) {
        self.resource = resource
        self.verb = verb
    }
}

extension Permission: CustomStringConvertible {
    /// As policies name it.
    public var description: String { "\(resource.rawValue):\(verb.rawValue)" }
}
