// SPDX-License-Identifier: Apache-2.0

package import FaultModel

package func expect(_ holds: Bool, _ what: @autoclosure () -> String) throws {
    guard holds else { throw BrokenPromise(description: what()) }
}

package func required<Value>(_ value: Value?, _ lack: String) throws -> Value {
    guard let value else { throw BrokenPromise(description: lack) }
    return value
}

/// Wants a fault of certain codes.
package func expectFault(
    _ codes: FaultCode...,
    doing what: String,
    _ work: () async throws(PlatformFault) -> Void
) async throws {
    do throws(PlatformFault) { try await work() } catch {
        return try expect(codes.contains(error.code), "\(what): \(error.code.rawValue) (\(error.message)) was thrown")
    }
    throw BrokenPromise(description: "\(what): nothing was thrown")
}

/// Waits for what a subject does by itself, but not for ever; `lack` is what is wrong then, or where nothing comes of it.
package func within<Value: Sendable>(
    _ limit: Duration,
    _ lack: String,
    _ work: @escaping @Sendable () async throws -> Value?
) async throws -> Value {
    let value = try await withThrowingTaskGroup(of: Value?.self) { group in
        group.addTask { try await work() }
        group.addTask {
            try? await Task.sleep(for: limit)
            return nil
        }
        defer { group.cancelAll() }
        return try await group.next() ?? nil
    }
    return try required(value, lack)
}
