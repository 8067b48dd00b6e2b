// SPDX-License-Identifier: Apache-2.0

public import FaultModel
public import FunctionModel
public import NIOCore

/// Accepts calls that are carried out later.
public protocol CallIntake: Sendable {
    /// Most bytes of a call's body.
    var bodyLimit: Int { get }

    /// Accepts a call.
    ///
    /// `done` is called once, on any thread, when the call is kept for good, or with why it is not. Called on event loops:
    /// it must not block.
    func accept(_ request: IntakeRequest, done: @escaping @Sendable (Result<IntakeReceipt, PlatformFault>) -> Void)
}

/// A call as a client sent it to be carried out later.
public struct IntakeRequest: Sendable {
    /// The function, which exists.
    public var function: FunctionID
    /// Path and query behind the function's name, undecoded.
    public var target: String
    /// Header lines as they came, each with its CR LF, without those that end at this hop and without ours.
    public var fields: ByteBuffer
    /// The body.
    public var body: ByteBuffer
    /// The client's address without port; empty for none.
    public var clientAddress: String
    /// `X-Call-Id`; nil where the client sent none.
    public var callID: String?
    /// `Idempotency-Key`.
    public var idempotencyKey: String?
    /// `X-Delay`.
    public var delay: String?
    /// `X-Run-At`.
    public var runAt: String?
    /// `X-Callback-Url`.
    public var callbackURL: String?
    /// The function's address as the client wrote it; nil where no callback will tell it.
    public var calledAs: String?
    /// Nanoseconds since 1970.
    public var acceptedAt: UInt64
}

/// What the client of an accepted call is told.
public struct IntakeReceipt: Sendable {
    /// The call's own id (`X-Martlet-Call-Id`).
    public var id: String
    /// `X-Call-Id`.
    public var callID: String
    /// Whether it repeats an earlier call.
    public var isDuplicate: Bool

    /// Makes a receipt.
    public init(id: String, callID: String, isDuplicate: Bool) {
        self.id = id
        self.callID = callID
        self.isDuplicate = isDuplicate
    }
}
