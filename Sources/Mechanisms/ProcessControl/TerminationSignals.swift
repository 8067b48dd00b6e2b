// SPDX-License-Identifier: Apache-2.0

import CProcessControl
import Glibc
import Synchronization

/// SIGINT and SIGTERM as events: a handler rings an eventfd, a thread hears it.
///
/// SIGHUP, which a terminal sends that is closed, is one of them where it has no meaning of its own; whoever has started the
/// program with SIGHUP ignored (nohup) keeps it so. From the moment this exists no signal is lost. There is one per program.
public final class TerminationSignals: Sendable {
    private let received = Outcome<Void>()
    private let endsAtNext = Atomic<Bool>(false)
    private let onHangUp = Mutex<[@Sendable () -> Void]>([])

    /// Takes the signals over.
    public init() {
        let bell = eventfd(0, Int32(EFD_CLOEXEC) | Int32(EFD_SEMAPHORE))
        signalBell.store(bell, ordering: .sequentiallyConsistent)
        NamedThread.start("signals") { [self] in
            var count: eventfd_t = 0
            while true {
                guard eventfd_read(bell, &count) == 0 else { continue }
                if endsAtNext.load(ordering: .sequentiallyConsistent) { exit(1) }
                received.resolve(())
            }
        }
        for number in [SIGINT, SIGTERM] { signal(number, noteSignal) }
        if !Self.isIgnored(SIGHUP) { signal(SIGHUP, noteSignal) }
    }

    private static func isIgnored(_ number: Int32) -> Bool {
        var action = sigaction()
        sigaction(number, nil, &action)
        return unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self)
            == unsafeBitCast(SIG_IGN, to: Int.self)
    }

    /// Calls back on SIGHUP, each time, on a thread of its own; without this SIGHUP is as SIGTERM.
    ///
    /// Several are called one after another.
    public func onHangUp(_ body: @escaping @Sendable () -> Void) {
        let isFirst = onHangUp.withLock { bodies in
            bodies.append(body)
            return bodies.count == 1
        }
        if isFirst { listenForHangUps() }
    }

    private func listenForHangUps() {
        let bell = eventfd(0, Int32(EFD_CLOEXEC) | Int32(EFD_SEMAPHORE))
        hangUpBell.store(bell, ordering: .sequentiallyConsistent)
        NamedThread.start("hang-up") { [self] in
            var count: eventfd_t = 0
            while true {
                guard eventfd_read(bell, &count) == 0 else { continue }
                for body in onHangUp.withLock({ $0 }) { body() }
            }
        }
        signal(SIGHUP, noteSignal)
    }

    /// Waits for the first one.
    public func first() async { await received.value() }

    /// Calls back at the first one, on a thread of its own.
    public func onFirst(_ body: @escaping @Sendable () -> Void) { received.whenKnown(body) }

    /// The next one ends the program at once.
    public func endAtNext() { endsAtNext.store(true, ordering: .sequentiallyConsistent) }
}

private let hangUpBell = Atomic<Int32>(-1)

/// Where the handler rings; a handler may touch nothing but this and make system calls.
private let signalBell = Atomic<Int32>(-1)

private func noteSignal(_ number: Int32) {
    var one: UInt64 = 1
    let hangUp = number == SIGHUP ? hangUpBell.load(ordering: .relaxed) : -1
    _ = write(hangUp >= 0 ? hangUp : signalBell.load(ordering: .relaxed), &one, 8)
}
