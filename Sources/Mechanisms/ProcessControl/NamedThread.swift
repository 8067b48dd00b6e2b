// SPDX-License-Identifier: Apache-2.0

import CProcessControl
import Glibc

/// A thread of its own for what blocks, with a name that tools show.
public enum NamedThread {
    private final class Work {
        let name: String
        let body: @Sendable () -> Void

        init(_ name: String, _ body: @escaping @Sendable () -> Void) {
            self.name = name
            self.body = body
        }
    }

    /// Runs work on a new thread, which ends with it.
    ///
    /// Of the name the system keeps 15 bytes.
    public static func start(_ name: String, _ body: @escaping @Sendable () -> Void) {
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        pthread_attr_setstacksize(&attributes, 256 * 1024)
        defer { pthread_attr_destroy(&attributes) }
        var thread = pthread_t()
        let work = Unmanaged.passRetained(Work(String(name.prefix(15)), body))
        let result = pthread_create(&thread, &attributes, runWork, work.toOpaque())
        // A process that gets no thread at its start cannot do what it is for.
        precondition(result == 0, "no thread can be started")
    }

    fileprivate static func run(_ pointer: UnsafeMutableRawPointer?) {
        guard let pointer else { return }
        let work = Unmanaged<Work>.fromOpaque(pointer).takeRetainedValue()
        martlet_name_thread(work.name)
        work.body()
    }
}

private func runWork(_ pointer: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    NamedThread.run(pointer)
    return nil
}
