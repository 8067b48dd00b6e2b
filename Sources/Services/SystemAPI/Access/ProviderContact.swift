// SPDX-License-Identifier: Apache-2.0

package import FaultModel
package import InvocationEngine
package import ProviderContract

/// Whether a provider elsewhere can be asked: one that is known to be lost has not a request wait for it.
package struct ProviderContact: Sendable {
    private let provider: any FunctionProvider
    private let clock: any Clock<Duration>
    let loss: @Sendable () -> RoutingTable.LostContact?
    /// A provider that has just come back answers within it, before the next attempt to follow it is made.
    private static let patience = Duration.milliseconds(500)
    /// How long whoever was turned away is told to wait: the longest pause between two attempts to follow a provider.
    private static let pauseSeconds = 10

    /// `loss` tells of a provider that is not heard.
    package init(
        _ provider: any FunctionProvider,
        clock: any Clock<Duration> = ContinuousClock(),
        loss: @escaping @Sendable () -> RoutingTable.LostContact?
    ) {
        self.provider = provider
        self.clock = clock
        self.loss = loss
    }

    /// Returns at once while the provider is heard, and soon while it is not.
    ///
    /// - Throws: `providerUnreachable` where it is not heard and does not answer either.
    package func check() async throws(PlatformFault) {
        guard let loss = loss(), let found = await problem(or: loss.fault) else { return }
        throw PlatformFault(
            .providerUnreachable,
            "\(found.message) \(loss.words)",
            hint: found.hint,
            retryAfterSeconds: Self.pauseSeconds,
            cause: found.cause
        )
    }

    /// What keeps the provider from answering now; what it was lost by where it says nothing, nil where it answers.
    private func problem(or silence: PlatformFault) async -> PlatformFault? {
        await withTaskGroup(of: PlatformFault?.self) { group in
            group.addTask { [provider] in
                do throws(PlatformFault) { try await provider.checkHealth() } catch { return error }
                return nil
            }
            group.addTask { [clock] in
                // Cancelled when the provider was faster.
                try? await clock.sleep(for: Self.patience)
                return silence
            }
            defer { group.cancelAll() }
            return await group.next() ?? silence
        }
    }

    /// Says of a provider that cannot be reached since when it is so.
    func dated(_ fault: PlatformFault) -> PlatformFault {
        guard fault.code == .providerUnreachable, let loss = loss() else { return fault }
        return PlatformFault(
            fault.code,
            "\(fault.message) \(loss.words)",
            hint: fault.hint,
            retryAfterSeconds: fault.retryAfterSeconds ?? Self.pauseSeconds,
            cause: fault.cause
        )
    }
}

extension RoutingTable.LostContact {
    /// Since when nothing is heard, and what holds meanwhile, as a sentence.
    package var words: String { "Nothing has been heard of the functions since \(since); calls go where they went." }
}
