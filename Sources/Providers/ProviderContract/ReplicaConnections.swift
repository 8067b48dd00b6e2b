// SPDX-License-Identifier: Apache-2.0

public import Synchronization

/// The connections that routers hold to one replica, over all event loops.
///
/// Some HTTP servers serve one connection at a time and wait on a kept one until it closes (Python's `HTTPServer`).
/// A router that kept a connection idle would lock such a replica up. So, until a replica has shown that it serves
/// several connections at once, routers give idle ones up before they open another.
public final class ReplicaConnections: Sendable {
    /// Connections that wait for a call; counted only until it is known that they keep nobody out.
    private let idle = Atomic<Int>(0)
    /// Connections that were opened for a call and have not yet answered once.
    public let unanswered = Atomic<Int>(0)
    /// Open connections that have answered at least once and were to stay open.
    private let answered = Atomic<Int>(0)
    private let parallel = Atomic<Bool>(false)
    /// How many may be on their way.
    public let openings = ConnectionOpenings()

    /// No connections.
    public init() {}

    /// Whether the replica is known to serve several connections at once.
    public var areServedInParallel: Bool { parallel.load(ordering: .relaxed) }

    /// Whether a connection that waits for a call may keep the replica from serving another one.
    public var mayBlockOthers: Bool { !areServedInParallel && idle.load(ordering: .relaxed) > 0 }

    /// Notes that a connection waits for a call.
    public func noteKept() {
        if !areServedInParallel { idle.add(1, ordering: .relaxed) }
    }

    /// Notes that a connection does not wait for a call any more.
    ///
    /// Event loops share this count: where it says nothing any more, they do not take it from each other's caches.
    public func noteTaken() {
        if !areServedInParallel { idle.subtract(1, ordering: .relaxed) }
    }

    /// Notes that a connection answered for the first time, and whether its server means to go on with it.
    ///
    /// Answering while another one that has answered is open proves that the replica does not serve them one by one. One
    /// that its server ends proves nothing: the next may be answered before anybody here has heard of the end.
    public func noteFirstAnswer(staysOpen: Bool) {
        unanswered.subtract(1, ordering: .relaxed)
        guard staysOpen else { return }
        if answered.add(1, ordering: .relaxed).oldValue > 0 { parallel.store(true, ordering: .relaxed) }
    }

    /// Notes that a connection is closed that has not answered; before it is, where it is closed here.
    public func noteClosedUnanswered() { unanswered.subtract(1, ordering: .relaxed) }

    /// Notes that a connection is closed that was to stay open; before it is, where it is closed here: as soon as the
    /// server sees that, it may answer another one.
    public func noteClosed() { answered.subtract(1, ordering: .relaxed) }
}
