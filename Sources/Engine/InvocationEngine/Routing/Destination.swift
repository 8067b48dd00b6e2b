// SPDX-License-Identifier: Apache-2.0

import FaultModel
import NIOCore

/// Where a request goes; decided on the undecoded bytes of its path (contract §29).
enum Destination {
    /// Where a function's address is, and path and query behind it.
    case function(Range<Int>, Range<Int>)
    /// The same, for a call that is only to be accepted.
    case intake(Range<Int>, Range<Int>)
    /// The function behind a watchdog, by path and query.
    case watched(Range<Int>)
    case local
    /// The server itself: `OPTIONS *`.
    case nothing
    /// A watchdog's health.
    case health(HealthQuestion)
    /// With the `Allow` of a method that is not for this path.
    case refused(Refusal)

    /// Why a request goes nowhere.
    struct Refusal {
        let fault: PlatformFault
        /// What else is told: the `Allow` of a method that is not for this path (RFC 9110 §15.5.6).
        let fields: [(name: StaticString, value: String)]

        init(_ fault: PlatformFault, allow: String? = nil) {
            self.fault = fault
            fields = allow.map { [(name: "Allow" as StaticString, value: $0)] } ?? []
        }
    }

    /// What functions are called with.
    static var callMethods: String { "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS" }

    init(_ head: RequestHead, in bytes: ByteBuffer, _ addressing: EngineProfile.Addressing, hasFunctions: Bool) {
        self = bytes.withUnsafeReadableBytes { Self.find(head, in: $0, addressing, hasFunctions) }
    }

    private static func find(
        _ head: RequestHead,
        in bytes: UnsafeRawBufferPointer,
        _ addressing: EngineProfile.Addressing,
        _ hasFunctions: Bool
    ) -> Destination {
        if head.method == .connect {
            return .refused(
                Refusal(
                    PlatformFault(.methodNotAllowed, "CONNECT is not served here; this is not a forward proxy."),
                    allow: callMethods
                )
            )
        }
        if head.asksServer { return .nothing }
        guard hasFunctions else { return .local }
        let path = UnsafeRawBufferPointer(rebasing: bytes[head.target.lowerBound..<head.pathEnd])
        if addressing == .single {
            return HealthQuestion(path).map { .health($0) } ?? .watched(head.target)
        }
        if begins(path, with: "/function/") {
            return function(head, in: bytes, nameStart: head.target.lowerBound + 10)
        }
        return findMore(head, in: bytes, extra: extraSlashes(path))
    }

    /// A gateway's address that ends in a slash, and a path behind it, give two; all routes take any number for one.
    static func extraSlashes(_ path: UnsafeRawBufferPointer) -> Int {
        max(0, (path.firstIndex { $0 != UInt8(ascii: "/") } ?? path.count) - 1)
    }

    private static func findMore(
        _ head: RequestHead,
        in bytes: UnsafeRawBufferPointer,
        extra: Int
    ) -> Destination {
        let start = head.target.lowerBound + extra
        let path = UnsafeRawBufferPointer(rebasing: bytes[start..<head.pathEnd])
        if begins(path, with: "/function/") { return function(head, in: bytes, nameStart: start + 10) }
        guard begins(path, with: "/async-function/") else { return .local }
        return intake(head, in: bytes, nameStart: start + 16)
    }

    /// Calls are sent by POST; DELETE cancels one, which is a matter of management (contract §7.1).
    private static func intake(
        _ head: RequestHead,
        in bytes: UnsafeRawBufferPointer,
        nameStart: Int
    ) -> Destination {
        if head.method == .delete { return .local }
        guard head.method == .post else {
            let fault = PlatformFault(
                .methodNotAllowed,
                "Asynchronous calls are sent by POST.",
                hint: "To cancel one: DELETE /async-function/ID"
            )
            return .refused(Refusal(fault, allow: "DELETE, POST"))
        }
        let destination = function(head, in: bytes, nameStart: nameStart)
        if case .function(let name, let rest) = destination { return .intake(name, rest) }
        return destination
    }

    private static func function(
        _ head: RequestHead,
        in bytes: UnsafeRawBufferPointer,
        nameStart: Int
    ) -> Destination {
        var end = nameStart
        while end < head.pathEnd, ByteClass.isAddress(bytes[end]) { end += 1 }
        guard end > nameStart else {
            return .refused(Refusal(PlatformFault(.malformedRequest, "Provide function name in the request path")))
        }
        guard end == head.pathEnd || bytes[end] == UInt8(ascii: "/") else {
            let sentence = "No function's name has the characters of this path."
            return .refused(Refusal(PlatformFault(.functionNotFound, sentence)))
        }
        if let refusal = refusal(of: head, UnsafeRawBufferPointer(rebasing: bytes[end..<head.pathEnd])) {
            return .refused(refusal)
        }
        return .function(nameStart..<end, end..<head.target.upperBound)
    }

    /// Why a function is not called, whatever it is, by the method and the path that it would see.
    @inline(__always)
    static func refusal(
        of head: RequestHead,
        _ path: UnsafeRawBufferPointer
    ) -> Refusal? {
        guard head.method.invokes else {
            let fault = PlatformFault(.methodNotAllowed, "Functions are not called with this method.")
            return Refusal(fault, allow: callMethods)
        }
        guard HealthQuestion(path) == nil else {
            return Refusal(PlatformFault(.notFound, "A function's health is not reachable from outside."))
        }
        return nil
    }
}
