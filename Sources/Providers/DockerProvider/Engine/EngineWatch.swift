// SPDX-License-Identifier: Apache-2.0

import DockerEngineClient
import Logging
import NIOCore

/// Follows what an engine tells of the containers of one data directory, and tells each replica of its container's end.
///
/// Confined to the supervision loop, but for `run`. The order is always the same: the stream is opened, then everything is
/// listed and looked at, then what the stream has said meanwhile is applied. Where the stream ends, nothing is known of
/// any container any more, until it is open again.
final class EngineWatch {
    /// What a replica hears of its container.
    struct Follower {
        /// It has ended; the last that is heard of it.
        let ended: (ContainerEnd) -> Void
        /// The engine is not heard any more.
        let lost: () -> Void
        /// The engine is heard again, and has this container still: what it is now.
        let seen: (ContainerDetails) -> Void
    }

    private let loop: any EventLoop
    private let logger: Logger
    private var ledger = ContainerLedger()
    private var followers: [String: Follower] = [:]
    /// Names that replicas have taken for containers, which are being made perhaps.
    private var claimed: Set<String> = []
    /// Whether the engine is heard.
    private(set) var isHeard = false
    private var hasBeenHeard = false

    init(loop: any EventLoop, logger: Logger) {
        self.loop = loop
        self.logger = logger
    }

    // MARK: Following

    /// Tells of a container from now on; called before it is started.
    func follow(_ container: String, _ follower: Follower) {
        ledger.follow(container)
        followers[container] = follower
    }

    func forget(_ container: String) {
        ledger.forget(container)
        followers[container] = nil
    }

    /// Makes a name somebody's, whatever becomes of the container: this one, or one like it where it is another's already.
    func claim(_ name: String) -> String {
        var free = name
        var number = 2
        while !claimed.insert(free).inserted {
            free = "\(name)_\(number)"
            number += 1
        }
        return free
    }

    func release(_ name: String) { claimed.remove(name) }

    // MARK: What is heard

    fileprivate var followed: Set<String> { ledger.containers }

    fileprivate func take(_ event: ContainerLedger.Event) {
        guard let end = ledger.take(event) else { return }
        tell(event.container, end)
    }

    /// What all containers are, and those whose names nobody has claimed.
    fileprivate func take(_ looks: [EngineLook], asked: Set<String>) -> [String] {
        for (container, end) in ledger.take(looks.map(\.look), asked: asked) { tell(container, end) }
        isHeard = true
        for look in looks {
            if let details = look.details { followers[look.look.container]?.seen(details) }
        }
        if hasBeenHeard { logger.notice("the engine is heard again") }
        hasBeenHeard = true
        return looks.filter { !claimed.contains($0.name) }.map(\.look.container)
    }

    fileprivate func lose(_ why: String) {
        guard isHeard else { return }
        isHeard = false
        logger.warning("the engine is not heard any more", metadata: ["why": "\(why)"])
        for follower in followers.values { follower.lost() }
    }

    private func tell(_ container: String, _ end: ContainerEnd) {
        followers.removeValue(forKey: container)?.ended(end)
    }
}

/// What a list and a look at one container say of it.
struct EngineLook: Sendable {
    let name: String
    let look: ContainerLedger.Look
    /// Of one that runs and is followed.
    let details: ContainerDetails?
}

/// The part of a watch that waits for the engine.
struct EngineListening: Sendable {
    let engine: DockerEngine
    /// `NAME=VALUE` of the label that all containers of this data directory have.
    let label: String
    /// The run that they are of; those of the other one are not ours to remove.
    let generation: String
    let loop: any EventLoop
    let watch: NIOLoopBoundBox<EngineWatch>

    private static let pauses = (first: Duration.milliseconds(50), longest: Duration.seconds(1))

    /// Listens until it is cancelled.
    func run() async {
        var pause = Self.pauses.first
        while !Task.isCancelled {
            let (why, wasHeard) = await listen()
            guard !Task.isCancelled else { return }
            await onLoop { $0.lose(why) }
            if wasHeard { pause = Self.pauses.first }
            guard (try? await Task.sleep(for: pause)) != nil else { return }
            pause = min(Self.pauses.longest, pause * 2)
        }
    }

    /// Why nothing is heard any more, and whether something was.
    private func listen() async -> (String, Bool) {
        var wasHeard = false
        do {
            let events = try await engine.events(containersLabelled: [label])
            let asked = await onLoop { $0.followed }
            let looks = try await lookAtAll(asked)
            let strays = await onLoop { $0.take(looks, asked: asked) }
            wasHeard = true
            await remove(strays)
            for try await event in events {
                guard let news = ContainerLedger.Event(event) else { continue }
                await onLoop { $0.take(news) }
            }
            return ("its stream of events has ended", wasHeard)
        } catch {
            return ("\(error)", wasHeard)
        }
    }

    private func lookAtAll(_ followed: Set<String>) async throws -> [EngineLook] {
        var looks: [EngineLook] = []
        for summary in try await engine.containers(labelled: [label], all: true)
        where summary.labels[ContainerIdentity.Label.generation] == generation {
            looks.append(try await look(at: summary, isFollowed: followed.contains(summary.id)))
        }
        return looks
    }

    private func look(at summary: ContainerSummary, isFollowed: Bool) async throws -> EngineLook {
        let details = isFollowed ? try await engine.inspectContainer(summary.id) : nil
        return EngineLook(
            name: summary.name,
            look: ContainerLedger.Look(
                container: summary.id,
                status: details?.state.status ?? summary.state,
                exitStatus: details?.state.exitCode ?? 0,
                wasOutOfMemory: details?.state.oomKilled ?? false
            ),
            details: details?.state.running == true ? details : nil
        )
    }

    /// What is left of replicas that have been given up meanwhile.
    private func remove(_ containers: [String]) async {
        for container in containers { try? await engine.remove(container, force: true) }
    }

    private func onLoop<Value: Sendable>(_ body: @escaping @Sendable (EngineWatch) -> Value) async -> Value {
        await loop.run { [watch] in body(watch.value) }
    }
}

extension EventLoop {
    /// What something comes to that is done on the loop.
    func run<Value: Sendable>(_ body: @escaping @Sendable () -> Value) async -> Value {
        await withCheckedContinuation { continuation in
            execute { continuation.resume(returning: body()) }
        }
    }
}
