// SPDX-License-Identifier: Apache-2.0

import CProcessControl
import Dispatch
import Glibc
import Synchronization

/// Marks by which everything that a process started is found again, also what left its group and its session.
///
/// A mark is a variable of the environment and a number beside it (see `martlet_mark_of`), both of which children inherit:
/// the one is lost where a program clears or writes over its environment, the other where a system does not allow it.
/// Whatever carries one of ours that is not in use any more is a stray and is ended.
///
/// Looking for strays reads a file per process of the machine, so it happens when a process was ended by force or for
/// good, and otherwise now and then for many processes at once; never per process.
public final class ProcessMarks: Sendable {
    /// The variable's name.
    public static let variable = "MARTLET_MARK"

    /// One process's mark.
    public struct Mark: Sendable {
        fileprivate let number: UInt64
        /// What stands in the process's environment.
        let variable: String
        /// The number beside it.
        let tag: UInt64
    }

    private struct State {
        var used: Set<UInt64> = []
        var lastNumber: UInt64 = 0
        var waiting: [@Sendable () -> Void] = []
        var isQueued = false
        var isPlanned = false
        /// How long the last look took, in nanoseconds.
        var duration: UInt64 = 0
    }

    private let owner: String
    /// Tells our marks from those of an earlier run of the same owner.
    private let run = String(UInt64.random(in: 0 ... .max), radix: 36)
    /// How our numbers begin, whatever run they are of: a bit that makes them larger than any memory, and the owner's.
    private let tagStart: UInt64
    private let state = Mutex(State())
    private let queue = DispatchQueue(label: "martlet.strays", qos: .utility)
    /// Marks that are in use at the same time differ in so many bits.
    private static let numberBits: UInt64 = 30
    private static let numbers: UInt64 = (1 << numberBits) - 1
    /// Time between two looks for strays of processes that ended by themselves, in nanoseconds.
    private static let pause: UInt64 = 1_000_000_000
    /// It is so many times what a look takes, so that looking never costs more than a fiftieth of a core.
    private static let rarity: UInt64 = 50
    /// Nobody's stray lives for much longer, however many processes there are to be looked at.
    private static let longestPause: UInt64 = 10_000_000_000
    /// What is being killed may still start something: it is looked for again so often.
    private static let rounds = 20

    /// Makes marks of an owner, whose name has no slash and is nobody else's at the same time.
    ///
    /// Whatever an earlier owner of this name has left is a stray from now on.
    public init(owner: String) {
        self.owner = owner
        tagStart = 1 << 62 | UInt64(Self.hash(owner)) << Self.numberBits
    }

    /// FNV-1a, which is the same in every run.
    private static func hash(_ text: String) -> UInt32 {
        text.utf8.reduce(0x811C_9DC5) { ($0 ^ UInt32($1)) &* 0x0100_0193 }
    }

    /// A new mark, in use until it is withdrawn.
    public func issue() -> Mark {
        let number = state.withLock { state in
            repeat {
                state.lastNumber = (state.lastNumber + 1) & Self.numbers
            } while !state.used.insert(state.lastNumber).inserted
            return state.lastNumber
        }
        return Mark(
            number: number,
            variable: "\(Self.variable)=\(owner)/\(run)/\(number)",
            tag: tagStart | number
        )
    }

    /// The process of a mark has ended: what still carries it is a stray.
    public func withdraw(_ mark: Mark) { state.withLock { _ = $0.used.remove(mark.number) } }

    /// Withdraws all marks.
    public func withdrawAll() { state.withLock { $0.used = [] } }

    // MARK: Strays

    /// Ends all strays, off the caller's thread; those who ask at the same time share one look.
    ///
    /// `done` is called on a thread of its own when none was found any more.
    public func endStrays(then done: @escaping @Sendable () -> Void = {}) {
        let isFirst = state.withLock { state in
            state.waiting.append(done)
            defer { state.isQueued = true }
            return !state.isQueued
        }
        if isFirst { queue.async { self.look() } }
    }

    /// Ends all strays and returns when none was found any more.
    public func endStrays() async {
        await withCheckedContinuation { continuation in endStrays { continuation.resume() } }
    }

    /// Ends the strays of a process that ended by itself, some time later and together with those of others.
    public func endStraysLater() {
        let delay = state.withLock { state -> UInt64? in
            defer { state.isPlanned = true }
            return state.isPlanned ? nil : max(Self.pause, min(state.duration &* Self.rarity, Self.longestPause))
        }
        guard let delay else { return }
        queue.asyncAfter(deadline: .now() + .nanoseconds(Int(clamping: delay))) { [weak self] in
            self?.state.withLock { $0.isPlanned = false }
            self?.look()
        }
    }

    private func look() {
        let waiting = state.withLock { state in
            defer { (state.waiting, state.isQueued) = ([], false) }
            return state.waiting
        }
        // Of the CPU: on a busy machine a look lasts longer, and costs no more.
        let begun = nanoseconds(of: CLOCK_THREAD_CPUTIME_ID)
        let found = endStraysOnce()
        let took = nanoseconds(of: CLOCK_THREAD_CPUTIME_ID) &- begun
        state.withLock { $0.duration = took }
        if found > 0 {
            _ = (1...Self.rounds).first(where: noneIsLeft)
            // One that was becoming another program just now could not be read.
            endStraysLater()
        }
        for done in waiting { done() }
    }

    private func noneIsLeft(_ round: Int) -> Bool {
        // What was killed needs a moment to be gone, and longer where there is much of it.
        usleep(1000 << UInt32(min(round, 5)))
        return endStraysOnce() == 0
    }

    private func endStraysOnce() -> Int {
        var environment = ProcessEnvironment(variable: "\(Self.variable)=\(owner)/")
        let own = getpid()
        return ProcessTable.processes().reduce(0) { count, process in
            process != own && endIfStray(process, &environment) ? count + 1 : count
        }
    }

    /// The pidfd pins the process: what is looked at after opening it is what the signal will hit.
    private func endIfStray(_ process: Int32, _ environment: inout ProcessEnvironment) -> Bool {
        guard isStray(process, &environment) else { return false }
        let pidfd = martlet_pidfd_open(process)
        guard pidfd >= 0 else { return false }
        defer { close(pidfd) }
        guard isStray(process, &environment) else { return false }
        return martlet_pidfd_send_signal(pidfd, SIGKILL) == 0
    }

    private func isStray(_ process: Int32, _ environment: inout ProcessEnvironment) -> Bool {
        let tag = martlet_mark_of(process)
        if tag & ~Self.numbers == tagStart {
            return !isUsed(tag & Self.numbers) && !ProcessTable.hasEnded(process)
        }
        guard let value = environment.value(of: process) else { return false }
        // What stands behind the owner: `RUN/NUMBER`.
        let parts = value.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, parts[0] == run, let number = UInt64(parts[1]) else { return true }
        return !isUsed(number)
    }

    private func isUsed(_ number: UInt64) -> Bool { state.withLock { $0.used.contains(number) } }
}

/// Reads one variable of processes' environments, with memory that is kept from one to the next.
private struct ProcessEnvironment {
    private let start: [UInt8]
    private var bytes = [UInt8](repeating: 0, count: 16_384)

    /// `variable` is the name, `=`, and how the value begins.
    init(variable: String) { start = Array(variable.utf8) }

    /// What stands behind that beginning; nil where there is no such variable, or it cannot be read.
    mutating func value(of process: Int32) -> String? {
        let count = SystemFile.read("/proc/\(process)/environ", into: &bytes)
        return bytes.withUnsafeBytes { bytes in
            var rest = bytes[..<count]
            while !rest.isEmpty {
                let variable = rest.prefix { $0 != 0 }
                if variable.starts(with: start) {
                    return String(decoding: variable.dropFirst(start.count), as: UTF8.self)
                }
                rest = rest.dropFirst(variable.count + 1)
            }
            return nil
        }
    }
}

/// A clock's time in nanoseconds.
private func nanoseconds(of clock: clockid_t) -> UInt64 {
    var time = timespec()
    clock_gettime(clock, &time)
    return UInt64(clamping: time.tv_sec) &* 1_000_000_000 &+ UInt64(clamping: time.tv_nsec)
}
