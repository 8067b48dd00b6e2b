// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// The variables that tell a forked process of its request (contract §15.5).
///
/// What the platform tells comes first, and no field of the client's takes its name, in whatever spelling.
struct RequestVariables {
    private(set) var variables: [(name: String, value: String)] = []
    private var names: Set<String> = []
    /// Names that no field may take which is not the one they are made for, in lower case.
    ///
    /// `Http_Proxy` least of all: HTTP libraries of several languages would send the function's own requests there.
    private static let reserved: Set<String> = [
        "http_method", "http_path", "http_query", "http_transfer_encoding", "http_content_length", "http_proxy",
        "http_x_call_id", "http_x_start_time", "http_x_forwarded_for", "http_x_forwarded_host", "http_traceparent",
    ]

    /// Makes the variables of a request.
    ///
    /// Nil when its path cannot be a variable: it holds an encoded NUL.
    init?(
        _ head: RequestHead,
        identifiesCalls: Bool,
        rest: Range<Int>,
        facts: CallFacts,
        clientAddress: String,
        in bytes: UnsafeRawBufferPointer,
        _ fields: ContiguousArray<HeadField>
    ) {
        let encodedPath = Self.path(rest, in: bytes)
        guard let path = Self.decodedPath(encodedPath) else { return nil }
        add("Http_Method", Self.text(UnsafeRawBufferPointer(rebasing: bytes[head.methodRange])))
        add("Http_Path", path)
        let query = Self.text(UnsafeRawBufferPointer(rebasing: bytes[rest].dropFirst(encodedPath.count)))
        if query.count > 1 { add("Http_Query", String(query.dropFirst())) }
        if head.framing == .chunked { add("Http_Transfer_Encoding", "chunked") }
        if identifiesCalls { addCallFacts(head, facts, clientAddress, in: bytes, fields) }
        // As a number: zeros before it would make it an octal one to a shell.
        if let length = head.options.contentLength { add("Http_Content_Length", String(length)) }
        for field in fields where Self.isTold(field, head, identifiesCalls, in: bytes) { add(field, in: bytes) }
    }

    private mutating func add(_ field: HeadField, in bytes: UnsafeRawBufferPointer) {
        let name = Self.variableName(field.nameBytes(in: bytes))
        if field.name == .other, Self.reserved.contains(name.lowercased()) { return }
        add(name, Self.text(field.valueBytes(in: bytes)))
    }

    private mutating func addCallFacts(
        _ head: RequestHead,
        _ facts: CallFacts,
        _ clientAddress: String,
        in bytes: UnsafeRawBufferPointer,
        _ fields: ContiguousArray<HeadField>
    ) {
        var addresses = fields.filter { $0.name == .xForwardedFor }.map { Self.text($0.valueBytes(in: bytes)) }
        addresses.append(clientAddress)
        // A client on a socket in the file system has none.
        let known = addresses.filter { !$0.isEmpty }.joined(separator: ", ")
        if !known.isEmpty { add("Http_X_Forwarded_For", known) }
        let host = Self.text(UnsafeRawBufferPointer(rebasing: bytes[head.host]))
        if !head.hasForwardedHost, !host.isEmpty { add("Http_X_Forwarded_Host", host) }
        add("Http_X_Call_Id", facts.callID.text)
        add("Http_X_Start_Time", String(facts.startTime))
        if let parent = facts.trace.newParent { add("Http_Traceparent", parent) }
    }

    /// The first value of a field counts.
    private mutating func add(_ name: String, _ value: String) {
        guard names.insert(name).inserted else { return }
        variables.append((name, value))
    }

    private static func isTold(
        _ field: HeadField,
        _ head: RequestHead,
        _ identifiesCalls: Bool,
        in bytes: UnsafeRawBufferPointer
    ) -> Bool {
        switch field.name {
        case .host, .expect: false
        case .xCallID, .xStartTime, .xForwardedFor: !identifiesCalls
        case .traceParent, .traceState: head.traceParent != nil || !identifiesCalls
        default: !field.name.endsAtHop
        }
    }

    /// `content-type` becomes `Http_Content_Type`, as Go's canonical case has it.
    static func variableName(_ name: UnsafeRawBufferPointer) -> String {
        var isStart = true
        let canonical = name.map { byte -> UInt8 in
            defer { isStart = byte == UInt8(ascii: "-") }
            if byte == UInt8(ascii: "-") { return UInt8(ascii: "_") }
            let lower = lowercased(byte)
            return isStart && lower >= UInt8(ascii: "a") && lower <= UInt8(ascii: "z") ? lower & ~0x20 : lower
        }
        return "Http_" + String(decoding: canonical, as: UTF8.self)
    }

    /// What stands before a query.
    static func path(_ rest: Range<Int>, in bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: bytes[rest].prefix { $0 != UInt8(ascii: "?") })
    }

    /// The path with its percent-encodings undone; nil when that yields a NUL.
    static func decodedPath(_ path: UnsafeRawBufferPointer) -> String? {
        var decoded: [UInt8] = []
        decoded.reserveCapacity(path.count + 1)
        var index = 0
        while index < path.count {
            if path[index] == UInt8(ascii: "%"), index + 2 < path.count,
                let high = ByteClass.hexValue(path[index + 1]), let low = ByteClass.hexValue(path[index + 2])
            {
                decoded.append(UInt8(high << 4 | low))
                index += 3
            } else {
                decoded.append(path[index])
                index += 1
            }
        }
        guard !decoded.contains(0) else { return nil }
        return decoded.isEmpty ? "/" : String(decoding: decoded, as: UTF8.self)
    }

    private static func text(_ bytes: UnsafeRawBufferPointer) -> String { String(decoding: bytes, as: UTF8.self) }
}
