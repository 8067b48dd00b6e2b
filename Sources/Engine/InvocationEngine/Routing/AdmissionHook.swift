// SPDX-License-Identifier: Apache-2.0

public import FaultModel
import NIOCore

/// Decides whether calls of one function are let in, before they cost it anything.
///
/// Asked on event loops, once for each call that a client sends, and again where another variant is drawn for it; about an
/// asynchronous one when it is accepted, and not again when it is carried out; and for the callbacks that clients name. It
/// must not block, nor take longer than a look into a table. A call that it refuses is none: it is neither counted nor
/// queued, and no autoscaler sees it. A function without a hook costs nothing.
public protocol AdmissionHook: Sendable {
    /// Why a call is not let in; nil lets it in.
    func refusal(of call: AdmissionQuestion) -> AdmissionRefusal?
}

/// What a hook may know of a call, read from the call's head when it is asked for.
public struct AdmissionQuestion {
    /// Whether the call is only to be accepted, and carried out later.
    public let isAsynchronous: Bool
    /// The client's address without port; empty for none.
    public let clientAddress: String
    private let bytes: ByteBuffer
    private let head: RequestHead
    private let fields: ContiguousArray<HeadField>

    init(
        _ head: RequestHead,
        _ fields: ContiguousArray<HeadField>,
        in bytes: ByteBuffer,
        isAsynchronous: Bool,
        clientAddress: String
    ) {
        self.isAsynchronous = isAsynchronous
        self.clientAddress = clientAddress
        self.bytes = bytes
        self.head = head
        self.fields = fields
    }

    /// The method, in capitals.
    public var method: String { text(head.methodRange) }

    /// The first value of a field, by its name in small letters; nil where there is none.
    public func field(_ name: StaticString) -> String? {
        let field = bytes.withUnsafeReadableBytes { bytes in
            fields.first { equalsIgnoringCase($0.nameBytes(in: bytes), name) }
        }
        return field.map { text(Int($0.valueStart)..<Int($0.valueEnd)) }
    }

    private func text(_ range: Range<Int>) -> String {
        bytes.withUnsafeReadableBytes { String(decoding: $0[range], as: UTF8.self) }
    }
}

/// Why a call is not let in, and what its answer says besides.
public struct AdmissionRefusal: Sendable {
    /// What the client is told; its code decides the status, and when trying again makes sense is told, too.
    public var fault: PlatformFault
    /// Further fields of the answer, as `Allow` (RFC 9110 §15.5.6) or `WWW-Authenticate` (§15.5.2).
    public var fields: [(name: StaticString, value: String)]

    /// Refuses.
    public init(_ fault: PlatformFault, fields: [(name: StaticString, value: String)] = []) {
        self.fault = fault
        self.fields = fields
    }
}
