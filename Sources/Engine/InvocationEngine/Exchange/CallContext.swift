// SPDX-License-Identifier: Apache-2.0

/// What all calls on one event loop have in common, confined to it.
final class CallContext {
    let profile: EngineProfile
    let functions: FunctionDirectory
    /// Hears of calls that have ended; nil costs nothing.
    let observer: (any AccessLog)?
    let bodies: BodyBudget
    /// Whether an `Authorization` is a login for this hop alone, which no function is to hear of; nil where none is.
    let isOwnLogin: (@Sendable (String) -> Bool)?
    /// Whether callers may bring such a login: to look at the closure itself would copy it at each call.
    let withholdsLogin: Bool

    init(
        _ profile: EngineProfile,
        _ functions: FunctionDirectory,
        observer: (any AccessLog)?,
        bodies: BodyBudget,
        isOwnLogin: (@Sendable (String) -> Bool)?
    ) {
        self.profile = profile
        self.functions = functions
        self.observer = observer
        self.bodies = bodies
        self.isOwnLogin = isOwnLogin
        withholdsLogin = isOwnLogin != nil
    }
}
