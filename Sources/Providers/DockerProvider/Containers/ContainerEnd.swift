// SPDX-License-Identifier: Apache-2.0

/// How a container ended.
enum ContainerEnd: Sendable, Equatable {
    /// Its first process exited: with the status, or above 128 by a signal.
    case exited(status: Int)
    /// It was killed since it used more memory than it may.
    case outOfMemory
    /// Somebody removed it.
    case removed

    /// What happened, as the end of a sentence that begins with the replica's name.
    func sentence(afterSeconds seconds: Double, memoryLimit: String?) -> String {
        let time = "after \((seconds * 10).rounded() / 10) s"
        return switch self {
        case .exited(126), .exited(127): "could not run its program (exit status \(exitStatus))"
        case .exited(let status) where status > 128 && status <= 192:
            "was ended by signal \(status - 128) \(time)"
        case .exited(let status): "exited with status \(status) \(time)"
        case .outOfMemory: "ran out of memory" + (memoryLimit.map { " (limit \($0))" } ?? "")
        case .removed: "was removed from the engine \(time)"
        }
    }

    private var exitStatus: Int { if case .exited(let status) = self { status } else { 0 } }
}

/// What an engine has told of the containers that are followed: which of them have ended, and how.
///
/// Pure: it is told of events and of lists, and answers with endings, each once. Only containers that are followed
/// matter, and one is followed before it is started.
struct ContainerLedger {
    /// What an event says.
    struct Event: Equatable {
        let action: String
        let container: String
        var exitStatus: Int?
        var nanoseconds: Int
    }

    /// What a look at a container says.
    struct Look: Equatable {
        let container: String
        let status: String
        var exitStatus = 0
        var wasOutOfMemory = false
    }

    private struct Entry {
        var outOfMemoryAt: Int?
    }

    private var followed: [String: Entry] = [:]

    /// The kernel kills a process, and the container dies at once if that was its first one.
    ///
    /// A process that the first one had started dies without that.
    private static let longestDeath = 2_000_000_000

    /// The containers that are followed.
    var containers: Set<String> { Set(followed.keys) }

    mutating func follow(_ container: String) { followed[container] = Entry() }

    mutating func forget(_ container: String) { followed[container] = nil }

    /// How the container has ended by this event; nil where it has not, or is not followed.
    mutating func take(_ event: Event) -> ContainerEnd? {
        guard let entry = followed[event.container] else { return nil }
        switch event.action {
        case "oom":
            followed[event.container]?.outOfMemoryAt = event.nanoseconds
            return nil
        case "die":
            forget(event.container)
            return end(event.exitStatus ?? 0, entry, at: event.nanoseconds)
        case "destroy":
            forget(event.container)
            return .removed
        default:
            return nil
        }
    }

    private func end(_ status: Int, _ entry: Entry, at nanoseconds: Int) -> ContainerEnd {
        guard status == 137, let killed = entry.outOfMemoryAt,
            nanoseconds.subtractingReportingOverflow(killed).partialValue <= Self.longestDeath
        else { return .exited(status: status) }
        return .outOfMemory
    }

    /// Which containers have ended, by what was seen of all of this instance; those of `asked` were followed before the
    /// list was asked for.
    mutating func take(_ looks: [Look], asked: Set<String>) -> [(container: String, end: ContainerEnd)] {
        let seen = Dictionary(looks.map { ($0.container, $0) }, uniquingKeysWith: { $1 })
        var ends: [(container: String, end: ContainerEnd)] = []
        for container in asked.sorted() where followed[container] != nil {
            guard let end = Self.end(seen[container]) else { continue }
            forget(container)
            ends.append((container, end))
        }
        return ends
    }

    private static func end(_ look: Look?) -> ContainerEnd? {
        guard let look else { return .removed }
        switch look.status {
        // One that is just being made is started by whoever made it.
        case "created", "running", "paused", "restarting": return nil
        // True for ever once it was, also of a container that has been started again: it counts only at the end.
        default: return look.wasOutOfMemory ? .outOfMemory : .exited(status: look.exitStatus)
        }
    }
}
