// SPDX-License-Identifier: Apache-2.0

public import FaultModel
public import FunctionModel

/// What a provider tells of the functions that can be called, and of whether it is still heard.
///
/// Only `removed`, and a `snapshot` that lacks a function, say that it is gone; whoever makes them has evidence of it:
/// the provider's own word, or two complete lists at least 10 s apart. Silence and faults are none.
public enum RouteUpdate: Sendable {
    /// All functions there are; what is not in it is gone.
    case snapshot([FunctionRoute])
    /// A function is new, or anything about it changed.
    case changed(FunctionRoute)
    /// A function is gone.
    case removed(FunctionID)
    /// Nothing is heard of the functions any more, and why; what was told last holds until more is heard.
    case lost(PlatformFault)
    /// What was told last is true again, or what follows makes it so.
    case heardAgain
}

extension RouteUpdate {
    /// The functions that it tells of as being there.
    public var routes: [FunctionRoute] {
        switch self {
        case .snapshot(let routes): routes
        case .changed(let route): [route]
        case .removed, .lost, .heardAgain: []
        }
    }
}
