// SPDX-License-Identifier: Apache-2.0

public import FaultModel

/// How long the other side may say nothing on a connection on which it gives signs of life.
struct SilenceLimit: Sendable {
    /// Three signs of life that did not come (martlet-api "Provider watch").
    static let length = Duration.seconds(30)

    let clock: any Clock<Duration>
    /// Who is silent, for the sentence.
    let server: String

    private enum Outcome<Value: Sendable>: Sendable {
        case done(Value)
        case silent
    }

    /// Ends with the work, or with `providerUnreachable` when nothing has come of it within the limit.
    func holds<Value: Sendable>(_ work: @escaping @Sendable () async throws -> Value) async throws -> Value {
        try await withThrowingTaskGroup(of: Outcome<Value>.self) { group in
            group.addTask { .done(try await work()) }
            group.addTask {
                try await clock.sleep(for: Self.length)
                return .silent
            }
            defer { group.cancelAll() }
            guard case .done(let value)? = try await group.next() else { throw fault }
            return value
        }
    }

    private var fault: PlatformFault {
        PlatformFault(
            .providerUnreachable,
            "\(server) has said nothing for \(Self.length.components.seconds) s.",
            hint: "Look whether it hangs, and at the network in between."
        )
    }
}

extension SystemClient {
    var silenceLimit: SilenceLimit { SilenceLimit(clock: clock, server: baseURL) }

    /// Does what a server that lives answers soon.
    ///
    /// - Throws: what the work throws; `providerUnreachable` when it has not ended within 30 s.
    public func withinSilenceLimit<Value: Sendable>(
        _ work: @escaping @Sendable () async throws -> Value
    ) async throws(PlatformFault) -> Value {
        do { return try await silenceLimit.holds(work) } catch {
            throw PlatformFault.unexpected(error, doing: "following a provider")
        }
    }
}
