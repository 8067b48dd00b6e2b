// SPDX-License-Identifier: Apache-2.0

/// Lets so many start containers at a time, in the order in which they came: an engine that starts more of them at once
/// starts none of them sooner.
actor StartSlots {
    private var free: Int
    private var waiting: [CheckedContinuation<Void, Never>] = []
    private var first = 0

    init(count: Int) { free = max(1, count) }

    /// Runs something when there is a slot for it.
    func run<Value: Sendable, Failure: Error>(
        _ body: @Sendable () async throws(Failure) -> Value
    ) async throws(Failure) -> Value {
        await take()
        defer { give() }
        return try await body()
    }

    private func take() async {
        guard free == 0 else {
            free -= 1
            return
        }
        await withCheckedContinuation { waiting.append($0) }
    }

    private func give() {
        guard first < waiting.count else {
            free += 1
            return
        }
        waiting[first].resume()
        first += 1
        guard first == waiting.count else { return }
        (waiting, first) = ([], 0)
    }
}
