// SPDX-License-Identifier: Apache-2.0

extension FunctionDeployment {
    /// The label with a function's name that functions have when they are read (contract §8.2), and that is not theirs.
    public static let nameLabel = "faas_function"

    /// The deployment without the label that is only added when a function is read: what a provider keeps.
    public var asWritten: FunctionDeployment {
        var written = self
        written.labels?[Self.nameLabel] = nil
        return written
    }

    /// Whether another deployment asks for the same, however it was written.
    ///
    /// What is empty is as good as absent, since clients write one or the other, and the name's label says nothing.
    public func asksForTheSame(as other: FunctionDeployment) -> Bool { essence == other.essence }

    private var essence: FunctionDeployment {
        var essence = asWritten
        essence.namespace = Self.unlessEmpty(namespace)
        essence.envProcess = Self.unlessEmpty(envProcess)
        essence.envVars = Self.unlessEmpty(envVars)
        essence.constraints = Self.unlessEmpty(constraints)
        essence.secrets = Self.unlessEmpty(secrets)
        essence.labels = Self.unlessEmpty(essence.labels)
        essence.annotations = Self.unlessEmpty(annotations)
        essence.limits = Self.unlessEmpty(limits)
        essence.requests = Self.unlessEmpty(requests)
        essence.readOnlyRootFilesystem = readOnlyRootFilesystem == true ? true : nil
        return essence
    }

    private static func unlessEmpty<Value: Collection>(_ value: Value?) -> Value? {
        value?.isEmpty == true ? nil : value
    }

    private static func unlessEmpty(_ value: FunctionResources?) -> FunctionResources? {
        let amounts = FunctionResources(
            memory: unlessEmpty(value?.memory),
            cpu: unlessEmpty(value?.cpu),
            gpus: value?.gpus.filter { !$0.value.isEmpty } ?? [:]
        )
        return amounts == FunctionResources() ? nil : amounts
    }
}

extension FunctionStatus {
    /// Adds the label with the function's name where a provider has not.
    public mutating func addNameLabel() {
        labels = (labels ?? [:]).merging([FunctionDeployment.nameLabel: name]) { own, _ in own }
    }
}
