// SPDX-License-Identifier: Apache-2.0

import CProcessControl
import Glibc
import Synchronization

/// Notices at once when a child ends, and when it first says something: one thread that waits on the children's pidfds
/// and on pipes.
///
/// Only children that were given to it are reaped, one by one; a bare `waitpid(-1)` would steal those of others.
final class ExitWatcher: Sendable {
    struct Child {
        fileprivate let processID: Int32
        fileprivate let pidfd: Int32
        fileprivate let ended: @Sendable (ProcessExit) -> Void
    }

    private let epoll: Int32
    private let wakeUp: Int32
    private let children = Mutex<[Int32: Child]>([:])
    /// Who takes a pipe over when there is something in it.
    private let pipes = Mutex<[Int32: @Sendable (Int32) -> Void]>([:])
    /// Above all process ids.
    private static let pipeTag: UInt64 = 1 << 32
    private let isClosed = Atomic<Bool>(false)

    private let adoptsOrphans: Bool

    init(adoptsOrphans: Bool) {
        self.adoptsOrphans = adoptsOrphans
        epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
        wakeUp = eventfd(0, Int32(EFD_CLOEXEC) | Int32(EFD_NONBLOCK))
        add(wakeUp, tag: 0)
    }

    /// Takes a child that was just started; it can be signalled from now on.
    func register(_ processID: Int32, ended: @escaping @Sendable (ProcessExit) -> Void) -> Child {
        let child = Child(processID: processID, pidfd: martlet_pidfd_open(processID), ended: ended)
        children.withLock { $0[processID] = child }
        return child
    }

    /// Begins to wait for its end; one that has ended already is noticed all the same.
    func watch(_ child: Child) { add(child.pidfd, tag: UInt64(child.processID)) }

    /// Signals a child's group.
    ///
    /// Under the lock the child is not reaped, so its id cannot have become another's.
    func signalGroup(of processID: Int32, _ signal: Int32) {
        children.withLock { children in
            guard children[processID] != nil else { return }
            kill(-processID, signal)
        }
    }

    func close() {
        isClosed.store(true, ordering: .sequentiallyConsistent)
        eventfd_write(wakeUp, 1)
    }

    /// The thread's body.
    func run() {
        var events = [epoll_event](repeating: epoll_event(), count: 64)
        var stranger: Int32 = 0
        var lastLook = ContinuousClock.now
        while !isClosed.load(ordering: .sequentiallyConsistent) {
            let count = epoll_wait(epoll, &events, Int32(events.count), adoptsOrphans ? 1000 : -1)
            for event in events.prefix(Int(max(0, count))) where event.data.u64 != 0 {
                let number = Int32(truncatingIfNeeded: event.data.u64)
                if event.data.u64 < Self.pipeTag { reap(number) } else { handOn(number, event) }
            }
            // Also where children end so often that no second passes without one.
            if adoptsOrphans, ContinuousClock.now - lastLook >= .seconds(1) {
                lastLook = .now
                reapOrphans(&stranger)
            }
        }
        for descriptor in pipes.withLock({ $0.keys.map { $0 } }) { Glibc.close(descriptor) }
        Glibc.close(epoll)
        Glibc.close(wakeUp)
    }

    /// Reaps those that are not ours, one that was seen a second ago first: one just started may not be known yet.
    private func reapOrphans(_ stranger: inout Int32) {
        while let process = nextEnded(), !children.withLock({ $0[process] != nil }) {
            guard process == stranger else {
                stranger = process
                return
            }
            var status: Int32 = 0
            _ = martlet_reap(process, &status)
            // The next one has lain about as long.
            stranger = nextEnded() ?? 0
        }
    }

    private func nextEnded() -> Int32? {
        let process = martlet_ended_child()
        return process > 0 ? process : nil
    }

    /// Waits until there is something in a pipe, which is handed on then, or nobody has its other end any more.
    func watch(_ pipe: Int32, _ take: @escaping @Sendable (Int32) -> Void) {
        pipes.withLock { $0[pipe] = take }
        guard !add(pipe, tag: Self.pipeTag | UInt64(pipe)) else { return }
        pipes.withLock { _ = $0.removeValue(forKey: pipe) }
        take(pipe)
    }

    private func handOn(_ pipe: Int32, _ event: epoll_event) {
        guard let take = pipes.withLock({ $0.removeValue(forKey: pipe) }) else { return }
        // Before it is closed: a child that is just being started has it too, and events would come under a number that is
        // another pipe's by then.
        epoll_ctl(epoll, EPOLL_CTL_DEL, pipe, nil)
        if event.events & EPOLLIN.rawValue != 0 { take(pipe) } else { Glibc.close(pipe) }
    }

    @discardableResult
    private func add(_ descriptor: Int32, tag: UInt64) -> Bool {
        var event = epoll_event()
        event.events = EPOLLIN.rawValue
        event.data.u64 = tag
        return epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) == 0
    }

    private func reap(_ processID: Int32) {
        let (child, status) = children.withLock { children -> (Child?, Int32) in
            guard let child = children[processID] else { return (nil, 0) }
            // What the child left of its group goes with it; the id is still its own until it is reaped.
            kill(-processID, SIGKILL)
            var status: Int32 = 0
            guard martlet_reap(processID, &status) != 0 else { return (nil, 0) }
            children[processID] = nil
            return (child, status)
        }
        guard let child else { return }
        epoll_ctl(epoll, EPOLL_CTL_DEL, child.pidfd, nil)
        Glibc.close(child.pidfd)
        child.ended(status >= 256 ? .signalled(status - 256) : .exited(status))
    }
}
