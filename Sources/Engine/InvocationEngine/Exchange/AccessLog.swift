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
///
/// Texts are made of the request's bytes only when they are asked for.
public struct AccessRecord: Sendable {
    /// The status of the answer; 499 where the client went first.
    public let status: Int
    /// Bytes of the answer's body.
    public let bytes: Int
    /// From the last byte of the request's head to the last byte of the answer.
    public let duration: Duration
    /// `name.namespace`; nil where there is no such function.
    public let function: String?
    /// The client's address without port; empty for one on a socket in the file system.
    public let clientAddress: String

    fileprivate let head: ByteBuffer
    fileprivate let ranges: (method: Range<Int>, target: Range<Int>, userAgent: Range<Int>?, callID: Range<Int>?)
    fileprivate let madeID: CallID
    fileprivate let trace: TraceContext

    /// The client's method.
    public var method: String { text(ranges.method) }

    /// Path and query as the client sent them.
    public var target: String { text(ranges.target) }

    /// Appends the client's method; cheaper than the text.
    public func appendMethod(to line: inout [UInt8]) { append(ranges.method, to: &line) }

    /// Appends path and query; cheaper than the text.
    public func appendTarget(to line: inout [UInt8]) { append(ranges.target, to: &line) }

    /// `X-Call-Id`; empty where there is none.
    public var callID: String {
        switch madeID {
        case .made, .kept: madeID.text
        case .none, .client: text(ranges.callID)
        }
    }

    /// The trace that the call is part of, 32 hexadecimal digits; empty where there is none.
    public var traceID: String { trace.id(in: head) }

    /// `User-Agent`; empty where there is none.
    public var userAgent: String { text(ranges.userAgent) }

    /// Whether `User-Agent` begins with a text; cheaper than the text itself.
    public func isFrom(_ agent: StaticString) -> Bool {
        guard let range = ranges.userAgent else { return false }
        return head.withUnsafeReadableBytes { begins(UnsafeRawBufferPointer(rebasing: $0[range]), with: agent) }
    }

    private func append(_ range: Range<Int>, to line: inout [UInt8]) {
        head.withUnsafeReadableBytes { line.append(contentsOf: UnsafeRawBufferPointer(rebasing: $0[range])) }
    }

    private func text(_ range: Range<Int>?) -> String {
        range.flatMap { head.getString(at: head.readerIndex + $0.lowerBound, length: $0.count) } ?? ""
    }
}

extension Exchange {
    /// Tells whoever observes calls of one that has ended.
    final func tellObserver(status: Int) {
        guard let observer = calls.observer, observer.wants(status: status), let head else { return }
        let agent = scanner.fields.first { $0.name == .userAgent }
        observer.note(
            AccessRecord(
                status: status,
                bytes: answerBytes,
                duration: .nanoseconds((loopContext.now - facts.begun).nanoseconds),
                function: entry?.name,
                clientAddress: clientAddress,
                head: headBytes,
                ranges: (
                    head.methodRange, head.target, agent.map { Int($0.valueStart)..<Int($0.valueEnd) }, head.callID
                ),
                madeID: facts.callID,
                trace: facts.trace
            )
        )
    }
}
