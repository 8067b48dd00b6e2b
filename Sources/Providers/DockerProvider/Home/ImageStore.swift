// SPDX-License-Identifier: Apache-2.0

import DockerEngineClient
import FaultModel
import FunctionModel
import Synchronization

/// The engine's images: what their names stand for, and what they say of themselves.
final class ImageStore: Sendable {
    private let host: EngineHost
    private let policy: PullPolicy
    private let environment: [String: String]
    /// An image of an id is the same for ever.
    private let known = Mutex<[String: PinnedImage]>([:])

    init(host: EngineHost, policy: PullPolicy, environment: [String: String]) {
        self.host = host
        self.policy = policy
        self.environment = environment
    }

    /// Pulls what a name stands for, where that is wanted.
    ///
    /// - Throws: `imageNotFound` where there is none; `providerFailed` where the registry does not give it.
    func fetch(_ name: String, policy own: PullPolicy?) async throws(PlatformFault) {
        switch own ?? policy {
        case .never: return
        case .always: try await pull(name)
        case .ifNotPresent: if try await inspect(name) == nil { try await pull(name) }
        }
    }

    /// The image that a name stands for now.
    ///
    /// - Throws: `imageNotFound` where there is none; `invalidValue` for one of another architecture.
    func pin(_ name: String, policy own: PullPolicy?) async throws(PlatformFault) -> PinnedImage {
        guard let details = try await inspect(name) else { throw Self.missing(name, own ?? policy) }
        try check(details, name)
        let image = PinnedImage(details)
        known.withLock { $0[image.id] = image }
        return image
    }

    private func inspect(_ name: String) async throws(PlatformFault) -> ImageDetails? {
        do throws(EngineFault) { return try await host.engine.inspectImage(name) } catch {
            throw PlatformFault(error)
        }
    }

    private func pull(_ name: String) async throws(PlatformFault) {
        let login = RegistryLogins(environment: environment).login(forImage: name)
        let credentials = login.map {
            RegistryCredentials(username: $0.user, password: $0.password, serverAddress: $0.server)
        }
        do throws(EngineFault) { try await host.engine.pull(name, credentials: credentials) } catch {
            throw Self.pullFailed(name, error, hasLogin: login != nil)
        }
    }

    private static func pullFailed(_ name: String, _ error: EngineFault, hasLogin: Bool) -> PlatformFault {
        let image = NameRule.printable(name)
        guard case .refused(let status, let message) = error else { return PlatformFault(error) }
        let registry = NameRule.printable(RegistryLogins.registry(ofImage: name))
        let advice =
            hasLogin
            ? "Log in to \(registry) anew, or check the name." : "Check the name, or log in: docker login \(registry)"
        return PlatformFault(
            status == 404 ? .imageNotFound : .providerFailed,
            "The image \"\(image)\" could not be pulled: \(NameRule.printable(message))",
            hint: advice,
            cause: error
        )
    }

    private static func missing(_ name: String, _ policy: PullPolicy) -> PlatformFault {
        PlatformFault(
            .imageNotFound,
            "The Docker engine has no image \"\(NameRule.printable(name))\".",
            hint: policy == .never
                ? "Build or pull it there, or let it be pulled: \(PlatformLabel.imagePull.name)." : "Check its name."
        )
    }

    private func check(_ details: ImageDetails, _ name: String) throws(PlatformFault) {
        guard details.architecture != host.architecture else { return }
        throw PlatformFault(
            .invalidValue,
            "image: \"\(NameRule.printable(name))\" is for \(NameRule.printable(details.architecture)), "
                + "and the engine's machine is \(host.architecture).",
            hint: "Build it for \(host.architecture), or name one of several architectures."
        )
    }

    /// An image that a revision is pinned to; one that is gone says nothing, and no container can be made of it.
    func image(_ id: String) async -> PinnedImage {
        if let image = known.withLock({ $0[id] }) { return image }
        guard let details = try? await host.engine.inspectImage(id) else { return PinnedImage(id: id) }
        let image = PinnedImage(details)
        known.withLock { $0[id] = image }
        return image
    }
}
