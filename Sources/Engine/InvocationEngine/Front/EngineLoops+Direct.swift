// SPDX-License-Identifier: Apache-2.0

extension EngineLoops {
    /// Calls a function for the platform itself: with its limits, its slots and its metrics, but without the gateway's
    /// own limit of time.
    ///
    /// `done` is called once, on an event loop, also for a call that was broken off. A function that does not exist gives
    /// 404, one that cannot be reached 502, each as a platform's answer.
    public func call(_ request: DirectRequest, done: @escaping @Sendable (DirectAnswer) -> Void) -> DirectCall {
        let loop = next()
        let call = DirectCall(request, on: loop.loop, done)
        loop.begin(call)
        return call
    }
}

extension FrontDoor {
    /// The same by the door's own event loops.
    public func call(_ request: DirectRequest, done: @escaping @Sendable (DirectAnswer) -> Void) -> DirectCall {
        loops.call(request, done: done)
    }
}
