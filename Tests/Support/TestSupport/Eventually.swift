// SPDX-License-Identifier: Apache-2.0

/// Asks again and again until something holds, for a bounded time: only for what no event tells.
///
/// Returns the last answer.
public func eventually(
    within limit: Duration = .seconds(60),
    _ holds: () async throws -> Bool
) async rethrows -> Bool {
    let deadline = ContinuousClock.now + limit
    while ContinuousClock.now < deadline {
        if try await holds() { return true }
        try? await Task.sleep(for: .milliseconds(20))
    }
    return try await holds()
}
