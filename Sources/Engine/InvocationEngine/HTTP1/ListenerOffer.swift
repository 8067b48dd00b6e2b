// SPDX-License-Identifier: Apache-2.0

public import NIOCore

/// What clients find on one listener of a front door.
public final class ListenerOffer: Sendable {
    /// Answers whatever is no call; nil stands for the engine's own responder.
    let responder: (any LocalResponder)?
    /// Whether functions are called here; elsewhere their paths are the responder's, as all others.
    let hasFunctions: Bool
    /// Puts what decodes bytes before they are HTTP/1.1, TLS say, into the pipeline of each connection.
    let prepare: (@Sendable (any Channel) throws -> Void)?

    /// Describes it.
    public init(
        responder: (any LocalResponder)? = nil,
        hasFunctions: Bool = true,
        prepare: (@Sendable (any Channel) throws -> Void)? = nil
    ) {
        self.responder = responder
        self.hasFunctions = hasFunctions
        self.prepare = prepare
    }
}
