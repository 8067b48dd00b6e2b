// SPDX-License-Identifier: Apache-2.0

public import ServiceLifecycle

/// What is open before anything runs, and is closed when everything that uses it has ended.
public struct OpenResource: Service {
    private let close: @Sendable () async -> Void

    /// `close` runs once, when the services behind this one have ended.
    public init(close: @escaping @Sendable () async -> Void) { self.close = close }

    /// Waits for its end.
    public func run() async {
        // Cancelled or told to stop: in both cases it is to be closed.
        try? await gracefulShutdown()
        await close()
    }
}

/// Work in the background that begins when something is reached, and is cancelled at its end.
public struct BackgroundWork<Value: Sendable>: Service {
    private let start: Milestone<Value>
    private let work: @Sendable (Value) async -> Void

    /// `work` may end by itself.
    public init(after start: Milestone<Value>, work: @escaping @Sendable (Value) async -> Void) {
        self.start = start
        self.work = work
    }

    /// Works until it is told to stop.
    public func run() async {
        if let value = await start.reached() {
            await cancelWhenGracefulShutdown { await work(value) }
        }
        // A service that ends by itself would end the program.
        try? await gracefulShutdown()
    }
}
