// SPDX-License-Identifier: Apache-2.0

import FaultModel

/// The methods that the engine tells apart.
enum RequestMethod {
    case get
    case head
    case post
    case put
    case patch
    case delete
    case options
    case connect
    case other

    /// Whether repeating the request has the same effect (RFC 9110 §9.2.2).
    var isIdempotent: Bool {
        switch self {
        case .get, .head, .put, .delete, .options: true
        case .post, .patch, .connect, .other: false
        }
    }

    /// As Prometheus' client library for Go names it.
    var metricsName: String {
        switch self {
        case .get: "get"
        case .head: "head"
        case .post: "post"
        case .put: "put"
        case .patch: "patch"
        case .delete: "delete"
        case .options: "options"
        case .connect: "connect"
        case .other: "unknown"
        }
    }

    /// Whether functions are called with it (contract §3).
    var invokes: Bool { self != .connect && self != .other }

    init(_ token: UnsafeRawBufferPointer) {
        self =
            switch token.count {
            case 3 where equals(token, "GET"): .get
            case 3 where equals(token, "PUT"): .put
            case 4 where equals(token, "POST"): .post
            case 4 where equals(token, "HEAD"): .head
            case 5 where equals(token, "PATCH"): .patch
            case 6 where equals(token, "DELETE"): .delete
            case 7 where equals(token, "OPTIONS"): .options
            case 7 where equals(token, "CONNECT"): .connect
            default: .other
            }
    }
}

/// What a request's head says, as offsets into its bytes; checked against RFC 9110 and RFC 9112.
struct RequestHead {
    private(set) var method = RequestMethod.other
    private(set) var methodRange = 0..<0
    /// Path and query as sent, without scheme and authority; behind those the path may be empty.
    private(set) var target = 0..<0
    /// Whether it is about the server itself: `OPTIONS *` (RFC 9110 §9.3.7).
    private(set) var asksServer = false
    /// The end of the path within `target`.
    private(set) var pathEnd = 0
    private(set) var isVersion10 = false
    private(set) var framing = BodyFraming.none
    /// The length has to be told anew: the body came in chunks and was read whole, or the client's own line could be read
    /// as another number.
    private(set) var needsLength = false
    private(set) var options = FramingFields()
    private(set) var expectsContinue = false
    /// `Host`, or the authority of an absolute target, which wins (RFC 9112 §3.2.2).
    private(set) var host = 0..<0
    private(set) var hasAbsoluteTarget = false
    private(set) var callID: Range<Int>?
    private(set) var timeout: Range<Int>?
    private(set) var upgrade: Range<Int>?
    /// The trace that the client is part of; malformed and repeated ones count as none.
    private(set) var traceParent: Range<Int>?
    private var traceParents = 0
    private(set) var hasUserAgent = false
    private(set) var hasForwardedHost = false
    private(set) var acceptsJSON = false
    private var hasHost = false

    /// Whether the connection may carry another request after this one.
    var keepsAlive: Bool { isVersion10 ? options.hasKeepAlive && !options.hasClose : !options.hasClose }

    /// Whether the client asks to speak another protocol from here on (RFC 9110 §7.8).
    var wantsUpgrade: Bool { options.hasUpgrade && upgrade != nil && !isVersion10 && framing == .none }

    /// Reads the lines that a `HeadScanner` has found.
    init(
        _ startLine: Range<Int>,
        _ fields: ContiguousArray<HeadField>,
        in head: UnsafeRawBufferPointer
    ) throws(WireError) {
        try takeRequestLine(startLine, in: head)
        for field in fields where field.name != .other { try take(field, in: head) }
        try takeFraming()
        guard hasHost || isVersion10 else { throw WireError("it has no Host.") }
    }

    /// A request of the platform's own: what its line says is known, and its body is there.
    ///
    /// Whoever kept it may have kept fields that told of its framing, or asked for another protocol: they mean nothing here.
    init(
        ownMethod method: Range<Int>,
        target: Range<Int>,
        pathEnd: Int,
        _ fields: ContiguousArray<HeadField>,
        bodyLength: Int,
        in head: UnsafeRawBufferPointer
    ) throws(WireError) {
        methodRange = method
        self.method = RequestMethod(UnsafeRawBufferPointer(rebasing: head[method]))
        self.target = target
        self.pathEnd = pathEnd
        guard head[target].allSatisfy(ByteClass.isTarget) else {
            throw WireError("its target has a character that no target has.")
        }
        for field in fields where field.name.isHeard { try take(field, in: head) }
        options.takeLength(bodyLength)
        try takeFraming()
        // No line of its fields tells it.
        needsLength = true
        guard hasHost else { throw WireError("it has no Host.") }
    }

    /// The body was read whole and goes on with its length.
    mutating func noteBuffered(length: Int) {
        if framing == .chunked { needsLength = true }
        framing = length == 0 ? .none : .length(length)
        expectsContinue = false
    }

    private mutating func takeRequestLine(_ line: Range<Int>, in head: UnsafeRawBufferPointer) throws(WireError) {
        var end = line.lowerBound
        while end < line.upperBound, ByteClass.isToken(head[end]) { end += 1 }
        guard end > line.lowerBound, end < line.upperBound, head[end] == 0x20 else {
            throw WireError("its request line does not begin with a method.")
        }
        methodRange = line.lowerBound..<end
        method = RequestMethod(UnsafeRawBufferPointer(rebasing: head[methodRange]))
        let start = end + 1
        end = start
        pathEnd = 0
        while end < line.upperBound, ByteClass.isTarget(head[end]) {
            if head[end] == UInt8(ascii: "?"), pathEnd == 0 { pathEnd = end }
            end += 1
        }
        guard head[end] != UInt8(ascii: "#") else { throw WireError("its target has a fragment.") }
        guard end > start, end < line.upperBound, head[end] == 0x20 else {
            throw WireError("its request line has no target.")
        }
        target = start..<end
        if pathEnd == 0 { pathEnd = end }
        try takeVersion(end + 1..<line.upperBound, in: head)
        try takeTargetForm(in: head)
    }

    private mutating func takeVersion(_ range: Range<Int>, in head: UnsafeRawBufferPointer) throws(WireError) {
        let version = UnsafeRawBufferPointer(rebasing: head[range])
        if equals(version, "HTTP/1.1") { return }
        if equals(version, "HTTP/1.0") {
            isVersion10 = true
            return
        }
        guard begins(version, with: "HTTP/"), version.count == 8 else {
            throw WireError("its request line does not end with a version.")
        }
        // A later minor version is spoken as the latest that is known here (RFC 9110 §2.5).
        if begins(version, with: "HTTP/1."), Self.isDigit(version[7]) { return }
        guard Self.isDigit(version[5]), version[6] == UInt8(ascii: "."), Self.isDigit(version[7]) else {
            throw WireError("its request line does not end with a version.")
        }
        throw WireError("only HTTP/1.1 and HTTP/1.0 are spoken here.", code: .versionNotSupported)
    }

    private static func isDigit(_ byte: UInt8) -> Bool { byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") }

    /// The forms of a target: `/path`, `*` of OPTIONS, and `http://authority/path` (RFC 9112 §3.2).
    ///
    /// Behind an authority the path may be left out, which means `/`, or `*` for OPTIONS (RFC 9112 §3.2.4).
    private mutating func takeTargetForm(in head: UnsafeRawBufferPointer) throws(WireError) {
        if head[target.lowerBound] == UInt8(ascii: "/") { return }
        if method == .connect { return }
        if method == .options, target.count == 1, head[target.lowerBound] == UInt8(ascii: "*") {
            asksServer = true
            return
        }
        let text = UnsafeRawBufferPointer(rebasing: head[target])
        let schemeLength =
            if hasPrefix(text, "http://") { 7 } else if hasPrefix(text, "https://") { 8 } else { 0 }
        guard schemeLength > 0 else { throw WireError("its target does not begin with \"/\".") }
        let start = target.lowerBound + schemeLength
        var end = start
        while end < pathEnd, head[end] != UInt8(ascii: "/") { end += 1 }
        guard end > start else { throw WireError("its target has no host.") }
        guard HostGrammar.accepts(UnsafeRawBufferPointer(rebasing: head[start..<end])) else {
            throw WireError("its target's host is not a host.")
        }
        host = start..<end
        hasAbsoluteTarget = true
        target = end..<target.upperBound
        asksServer = method == .options && target.isEmpty
    }

    @inline(__always)
    private mutating func take(_ field: HeadField, in head: UnsafeRawBufferPointer) throws(WireError) {
        let value = Int(field.valueStart)..<Int(field.valueEnd)
        switch field.name {
        case .host: try takeHost(value, in: head)
        case .contentLength: try options.takeContentLength(field.valueBytes(in: head))
        case .transferEncoding: try options.takeTransferEncoding(field.valueBytes(in: head))
        case .connection: try options.takeConnection(field, in: head)
        case .expect: try takeExpectation(field.valueBytes(in: head))
        case .accept: acceptsJSON = acceptsJSON || contains(field.valueBytes(in: head), "json")
        case .userAgent: hasUserAgent = true
        case .xForwardedHost: hasForwardedHost = true
        case .xCallID: if callID == nil, !value.isEmpty { callID = value }
        case .xTimeout: timeout = value
        case .upgrade: if UpgradeList.offersMore(value, in: head) { upgrade = value }
        case .traceParent: takeTraceParent(value, in: head)
        default: break
        }
    }

    private mutating func takeTraceParent(_ value: Range<Int>, in head: UnsafeRawBufferPointer) {
        traceParents += 1
        let isValid = traceParents == 1 && TraceContext.isValid(UnsafeRawBufferPointer(rebasing: head[value]))
        traceParent = isValid ? value : nil
    }

    private mutating func takeHost(_ value: Range<Int>, in head: UnsafeRawBufferPointer) throws(WireError) {
        guard !hasHost else { throw WireError("it has more than one Host.") }
        hasHost = true
        guard HostGrammar.accepts(UnsafeRawBufferPointer(rebasing: head[value])) else {
            throw WireError("its Host is not a host.")
        }
        if !hasAbsoluteTarget { host = value }
    }

    private mutating func takeExpectation(_ value: UnsafeRawBufferPointer) throws(WireError) {
        guard equalsIgnoringCase(value, "100-continue") else {
            throw WireError("it expects something other than \"100-continue\".", code: .expectationFailed)
        }
        expectsContinue = true
    }

    private mutating func takeFraming() throws(WireError) {
        try options.refuseBothFramings()
        if options.isChunked {
            guard !isVersion10 else { throw WireError("it is HTTP/1.0 and chunked.") }
            framing = .chunked
        } else if let length = options.contentLength, length > 0 {
            framing = .length(length)
        }
        needsLength = options.isLengthPadded
        if method == .connect, framing != .none { throw WireError("a CONNECT has no body.") }
    }
}

/// Whether bytes begin with a lower-case ASCII text, without regard to case.
func hasPrefix(_ bytes: UnsafeRawBufferPointer, _ lowerCase: StaticString) -> Bool {
    let count = lowerCase.utf8CodeUnitCount
    return bytes.count >= count && equalsIgnoringCase(UnsafeRawBufferPointer(rebasing: bytes[..<count]), lowerCase)
}

/// Whether bytes contain a lower-case ASCII text, without regard to case.
func contains(_ bytes: UnsafeRawBufferPointer, _ lowerCase: StaticString) -> Bool {
    let count = lowerCase.utf8CodeUnitCount
    guard bytes.count >= count else { return false }
    for start in 0...bytes.count - count
    where equalsIgnoringCase(UnsafeRawBufferPointer(rebasing: bytes[start..<start + count]), lowerCase) {
        return true
    }
    return false
}

extension FieldName {
    /// Whether a request of the platform's own has a meaning for the field.
    fileprivate var isHeard: Bool {
        switch self {
        case .other, .contentLength, .transferEncoding, .expect, .upgrade: false
        default: true
        }
    }
}
