// SPDX-License-Identifier: Apache-2.0

import DockerEngineClient
import ProcessControl
import Synchronization

/// What containers use, by the engine's streams of samples: one for each container, for as long as somebody asks.
///
/// An engine takes up to a second for a single sample, and sends one a second to whoever follows.
final class ContainerUsage: Sendable {
    private struct Following {
        var reading: Task<Void, Never>?
        var latest: ResourceUsage?
        var asked: ContinuousClock.Instant
        var waiting: [CheckedContinuation<Void, Never>] = []
    }

    private let engine: DockerEngine
    private let followed = Mutex<[String: Following]>([:])

    /// Nobody has asked for so long.
    private static let idle = Duration.seconds(15)
    /// A container that says nothing keeps nobody waiting for longer.
    private static let patience = Duration.milliseconds(1500)

    init(engine: DockerEngine) { self.engine = engine }

    /// What each of these containers uses; those of which nothing is known are left out.
    func of(_ containers: [Int: String]) async -> [Int: ResourceUsage] {
        let unknown = containers.values.filter { ask($0) }
        if !unknown.isEmpty { await wait(for: unknown) }
        return followed.withLock { followed in containers.compactMapValues { followed[$0]?.latest } }
    }

    /// Nothing is followed any more.
    func end() {
        let ending = followed.withLock { followed in
            defer { followed = [:] }
            return followed.values.map { $0 }
        }
        for following in ending {
            following.reading?.cancel()
            for waiting in following.waiting { waiting.resume() }
        }
    }

    /// Whether nothing is known of a container yet, which is followed from now on.
    private func ask(_ container: String) -> Bool {
        let now = ContinuousClock.now
        return followed.withLock { followed in
            if followed[container] != nil {
                followed[container]?.asked = now
            } else {
                // Ends with the container, with the engine, or when nobody asks any more.
                followed[container] = Following(reading: Task { await self.follow(container) }, asked: now)
            }
            return followed[container]?.latest == nil
        }
    }

    private func follow(_ container: String) async {
        do {
            for try await sample in try await engine.stats(container) {
                guard isWanted(container, ResourceUsage(sample)) else { break }
            }
        } catch {
            // Nothing more is known of it.
        }
        let waiting = followed.withLock { $0.removeValue(forKey: container)?.waiting }
        for continuation in waiting ?? [] { continuation.resume() }
    }

    private func isWanted(_ container: String, _ usage: ResourceUsage?) -> Bool {
        let (waiting, isWanted) = followed.withLock { followed in
            guard var following = followed[container] else { return ([CheckedContinuation<Void, Never>](), false) }
            following.latest = usage ?? following.latest
            let waiting = following.waiting
            following.waiting = []
            followed[container] = following
            return (waiting, ContinuousClock.now - following.asked < Self.idle)
        }
        for continuation in waiting { continuation.resume() }
        return isWanted
    }

    private func wait(for containers: [String]) async {
        await withTaskGroup(of: Void.self) { tasks in
            for container in containers { tasks.addTask { await self.firstSample(of: container) } }
            tasks.addTask {
                try? await Task.sleep(for: Self.patience)
                self.wake(containers)
            }
            for _ in containers { await tasks.next() }
            tasks.cancelAll()
        }
    }

    private func firstSample(of container: String) async {
        await withCheckedContinuation { continuation in
            let isOver = followed.withLock { followed in
                guard let following = followed[container], following.latest == nil else { return true }
                followed[container]?.waiting.append(continuation)
                return false
            }
            if isOver { continuation.resume() }
        }
    }

    /// What is not known by now is not waited for.
    private func wake(_ containers: [String]) {
        let waiting = followed.withLock { followed in
            containers.flatMap { container in
                defer { followed[container]?.waiting = [] }
                return followed[container]?.waiting ?? []
            }
        }
        for continuation in waiting { continuation.resume() }
    }
}

extension ResourceUsage {
    /// Nil for a container that does not run.
    fileprivate init?(_ sample: ContainerSample) {
        guard let memory = sample.memoryBytes else { return nil }
        self.init(cpuNanoseconds: sample.cpuNanoseconds, memoryBytes: memory)
    }
}
