// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import NIOCore

/// Hears of every call that has ended.
public protocol AccessLog: Sendable {
    /// Whether a call that ended with this status is of interest; asked before anything is gathered.
    func wants(status: Int) -> Bool

    /// Notes a call.
    ///
    /// Called on event loops: it must not block.
    func note(_ call: AccessRecord)
}

/// One call that has ended.
public struct AccessRecord: Sendable {
    /// The client's method.
    public var method: String
    /// Path and query as the client sent them.
    public var target: String
    /// The status of the answer; 499 where the client went first.
    public var status: Int
    /// Bytes of the answer's body.
    public var bytes: Int
    /// From the last byte of the request's head to the last byte of the answer.
    public var duration: Duration
    /// `name.namespace`; nil where there is no such function.
    public var function: String?
    /// `X-Call-Id`; empty where there is none.
    public var callID: String
    /// The trace that the call is part of, 32 hexadecimal digits; empty where there is none.
    public var traceID: String
    /// The client's address without port.
    public var clientAddress: String
    /// `User-Agent`; empty where there is none.
    public var userAgent: String
}

extension FrontConnection {
    /// Tells the access log of the call that ends; costs a comparison where there is none.
    func noteAccess(status: Int) {
        guard isCall, let log = loopContext.accessLog, log.wants(status: status), let head else { return }
        let fields = scanner.fields
        let (target, method, agent, client) = headBytes.withUnsafeReadableBytes { bytes in
            func text(_ range: Range<Int>?) -> String { range.map { String(decoding: bytes[$0], as: UTF8.self) } ?? "" }
            let agent = fields.first { $0.name == .userAgent }.map { Int($0.valueStart)..<Int($0.valueEnd) }
            return (text(head.target), text(head.methodRange), text(agent), text(head.callID))
        }
        log.note(
            AccessRecord(
                method: method,
                target: target,
                status: status,
                bytes: answerBytes,
                duration: .nanoseconds((loopContext.now - facts.begun).nanoseconds),
                function: entry?.name,
                callID: role == .gateway ? facts.callID.text : client,
                traceID: facts.trace.id(in: headBytes),
                clientAddress: clientAddress,
                userAgent: agent
            )
        )
    }
}
