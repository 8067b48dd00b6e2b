// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import QueueContract
import Synchronization

/// The calls of one function: takes as many as there are slots for, and waits for the next event.
///
/// It is over when its function does not exist any more and none of its calls is in flight.
final class Lane: Sendable {
    let function: FunctionID
    private let queue: any CallQueue
    private let lease: Duration
    private let slots: @Sendable () -> Int?
    private let gone: @Sendable () -> Void
    private let begin: @Sendable (LeasedCall, Lane) -> Void
    private let inFlight = Atomic<Int>(0)
    /// Whether calls may wait for a slot.
    private let isFull = Atomic<Bool>(false)
    /// Whether the lane is going to look anyway: a second wake-up says no more than the first.
    private let isAwake = Atomic<Bool>(false)
    /// Set while nobody can wake the lane, and with it awake never.
    private let over = Mutex(false)
    private let wakeups: AsyncStream<Void>
    private let continuation: AsyncStream<Void>.Continuation
    private let alarm = Mutex<(due: ContinuousClock.Instant, task: Task<Void, Never>)?>(nil)
    /// Most calls that are taken at a time.
    private static let mostTaken = 64

    /// `slots` is how many calls may be in flight, nil where the function does not exist any more, of which `gone` is told.
    init(
        function: FunctionID,
        queue: any CallQueue,
        lease: Duration,
        slots: @escaping @Sendable () -> Int?,
        gone: @escaping @Sendable () -> Void,
        begin: @escaping @Sendable (LeasedCall, Lane) -> Void
    ) {
        self.function = function
        self.queue = queue
        self.lease = lease
        self.slots = slots
        self.gone = gone
        self.begin = begin
        (wakeups, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    }

    /// Something happened: look again; false when the lane is over, and another one has to look.
    @discardableResult func wake() -> Bool {
        guard !isAwake.load(ordering: .sequentiallyConsistent) else { return true }
        return over.withLock { isOver in
            guard !isOver else { return false }
            if !isAwake.exchange(true, ordering: .sequentiallyConsistent) { continuation.yield() }
            return true
        }
    }

    /// Whether nobody can wake it any more.
    var isOver: Bool { over.withLock { $0 } }

    /// A call has ended, and its slot is free.
    func ended() {
        inFlight.subtract(1, ordering: .sequentiallyConsistent)
        if isFull.load(ordering: .sequentiallyConsistent) { wake() }
    }

    /// Takes calls until the lane is over, or the task is cancelled.
    func run() async {
        for await _ in wakeups {
            // Before it looks: what happens from now on needs another look.
            isAwake.store(false, ordering: .sequentiallyConsistent)
            await fill()
            if end() { break }
        }
        alarm.withLock { $0?.task.cancel() }
    }

    /// Ends the lane where it has nothing to do any more, unless somebody has just woken it.
    private func end() -> Bool {
        guard slots() == nil else { return false }
        // Said before it looks: whoever ends a call from now on wakes it.
        isFull.store(true, ordering: .sequentiallyConsistent)
        return over.withLock { isOver in
            isOver =
                !isAwake.load(ordering: .sequentiallyConsistent)
                && inFlight.load(ordering: .sequentiallyConsistent) == 0
            return isOver
        }
    }

    /// Begins calls until there is no slot or no call left.
    private func fill() async {
        while true {
            guard let slots = slots() else { return gone() }
            // Said before it looks: whoever ends a call from now on wakes it.
            isFull.store(true, ordering: .sequentiallyConsistent)
            let free = slots - inFlight.load(ordering: .sequentiallyConsistent)
            guard free > 0 else { return }
            isFull.store(false, ordering: .sequentiallyConsistent)
            do throws(PlatformFault) {
                let (calls, nextDue) = try await queue.take(
                    from: function,
                    atMost: min(free, Self.mostTaken),
                    lease: lease
                )
                inFlight.add(calls.count, ordering: .sequentiallyConsistent)
                for call in calls { begin(call, self) }
                guard calls.isEmpty else { continue }
                if let nextDue { wake(in: nextDue) }
            } catch {
                // What is wrong was logged where it is wrong.
                wake(in: .seconds(1))
            }
            return
        }
    }

    private func wake(in wait: Duration) {
        let due = ContinuousClock.now + wait
        alarm.withLock { alarm in
            // One that goes off sooner looks again, too.
            if let alarm, alarm.due <= due { return }
            alarm?.task.cancel()
            // Unowned: an earlier alarm, or the lane's end, cancels it.
            alarm = (due, Task { [self] in await ring(at: due) })
        }
    }

    private func ring(at due: ContinuousClock.Instant) async {
        guard (try? await Task.sleep(until: due, clock: .continuous)) != nil else { return }
        alarm.withLock { $0 = nil }
        wake()
    }
}
