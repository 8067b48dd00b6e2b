// SPDX-License-Identifier: Apache-2.0

public import FaultModel

extension PlatformFault {
    /// A database was asked by a task that is cancelled: nothing is wrong with it.
    ///
    /// It is not for a transaction that was committed.
    public static func givenUp(_ error: CancellationError) -> PlatformFault {
        PlatformFault(
            .shuttingDown,
            "This was given up before it was done, as nobody waits for it any more. Nothing was changed.",
            hint: "Ask again.",
            cause: error
        )
    }
}
