// SPDX-License-Identifier: Apache-2.0

import AsyncHTTPClient
public import FaultModel
public import Foundation
public import FunctionModel
import NIOCore

/// The routes, one method each. All throw the fault that the other side tells of.
extension SystemClient {
    // MARK: Functions

    /// `GET /system/functions`.
    public func functions(in namespace: String?) async throws(PlatformFault) -> [FunctionStatus] {
        try await call("GET", "/system/functions" + query(("namespace", namespace)), returning: [FunctionStatus].self)
    }

    /// `GET /system/function/{name}`.
    public func function(
        _ name: String,
        in namespace: String?,
        includingUsage: Bool = false
    ) async throws(PlatformFault) -> FunctionStatus {
        let query = query(("namespace", namespace), ("usage", includingUsage ? "1" : nil))
        return try await call(
            "GET",
            "/system/function/\(URLText.escaped(name))\(query)",
            returning: FunctionStatus.self
        )
    }

    /// `POST /system/functions`.
    public func create(_ deployment: FunctionDeployment) async throws(PlatformFault) {
        try await call("POST", "/system/functions", deployment)
    }

    /// `PUT /system/functions`; `forced` makes a new revision of an equal deployment too.
    @discardableResult
    public func update(
        _ deployment: FunctionDeployment,
        forced: Bool = false
    ) async throws(PlatformFault) -> UpdateOutcome {
        let path = "/system/functions" + query(("force", forced ? "true" : nil))
        let told = try await change("PUT", path, deployment, telling: UpdateOutcome.field)
        return told == "true" ? .unchanged : .newRevision
    }

    /// `POST /system/function/{name}/restart`.
    public func restart(_ name: String, in namespace: String?) async throws(PlatformFault) {
        try await call("POST", "/system/function/\(URLText.escaped(name))/restart" + query(("namespace", namespace)))
    }

    /// `DELETE /system/functions`.
    public func delete(_ name: String, in namespace: String?) async throws(PlatformFault) {
        let path = "/system/functions" + query(("namespace", namespace))
        try await call("DELETE", path, DeleteFunctionRequest(functionName: name, namespace: namespace))
    }

    /// `POST /system/scale-function/{name}`; returns the number that was accepted, where the server says so.
    @discardableResult
    public func scale(_ name: String, in namespace: String?, to replicas: Int) async throws(PlatformFault) -> Int {
        try await scale(ScaleFunctionRequest(serviceName: name, replicas: replicas, namespace: namespace), name)
    }

    /// The same, by which a server that knows of it lowers no number.
    @discardableResult
    public func wake(_ name: String, in namespace: String?, atLeast replicas: Int) async throws(PlatformFault) -> Int {
        var body = ScaleFunctionRequest(serviceName: name, replicas: replicas, namespace: namespace)
        body.isLeast = true
        return try await scale(body, name)
    }

    private func scale(_ body: ScaleFunctionRequest, _ name: String) async throws(PlatformFault) -> Int {
        let path = "/system/scale-function/\(URLText.escaped(name))" + query(("namespace", body.namespace))
        let told = try await change("POST", path, body, telling: ScaleFunctionRequest.acceptedField)
        return told.flatMap { Int($0) }.map { min(max($0, 0), Int(Int32.max)) } ?? body.replicas ?? 0
    }

    /// `GET /system/scaling/{name}`.
    public func scaling(of name: String, in namespace: String?) async throws(PlatformFault) -> ScalingDescription {
        let path = "/system/scaling/\(URLText.escaped(name))" + query(("namespace", namespace))
        return try await call("GET", path, returning: ScalingDescription.self)
    }

    // MARK: Secrets

    /// `GET /system/secrets`.
    public func secrets(in namespace: String?) async throws(PlatformFault) -> [SecretRecord] {
        try await call("GET", "/system/secrets" + query(("namespace", namespace)), returning: [SecretRecord].self)
    }

    /// `POST /system/secrets`.
    public func createSecret(_ name: String, in namespace: String?, value: Data) async throws(PlatformFault) {
        try await call("POST", "/system/secrets", secret(name, namespace, value))
    }

    /// `PUT /system/secrets`; a server that does not say who sees the new value is taken to mean replicas to come.
    @discardableResult
    public func updateSecret(
        _ name: String,
        in namespace: String?,
        value: Data
    ) async throws(PlatformFault) -> SecretReach {
        let secret = secret(name, namespace, value)
        let told = try await change("PUT", "/system/secrets", secret, telling: SecretReach.field)
        return told.flatMap { SecretReach(rawValue: $0) } ?? .laterReplicas
    }

    /// `DELETE /system/secrets`.
    public func deleteSecret(_ name: String, in namespace: String?) async throws(PlatformFault) {
        let path = "/system/secrets" + query(("namespace", namespace))
        try await call("DELETE", path, SecretRecord(name: name, namespace: namespace))
    }

    private func secret(_ name: String, _ namespace: String?, _ value: Data) -> SecretRecord {
        SecretRecord(
            name: name,
            namespace: namespace,
            value: String(data: value, encoding: .utf8),
            rawValue: value.base64EncodedString()
        )
    }

    // MARK: Namespaces

    /// `GET /system/namespaces`.
    public func namespaces() async throws(PlatformFault) -> [String] {
        try await call("GET", "/system/namespaces", returning: [String].self)
    }

    /// `GET /system/namespace/{name}`.
    public func namespace(_ name: String) async throws(PlatformFault) -> NamespaceRecord {
        try await call("GET", "/system/namespace/\(URLText.escaped(name))", returning: NamespaceRecord.self)
    }

    /// `POST /system/namespace/`.
    public func createNamespace(_ record: NamespaceRecord) async throws(PlatformFault) {
        try await call("POST", "/system/namespace/", marked(record))
    }

    /// `PUT /system/namespace/{name}`.
    public func updateNamespace(_ record: NamespaceRecord) async throws(PlatformFault) {
        try await call("PUT", "/system/namespace/\(URLText.escaped(record.name))", marked(record))
    }

    /// `DELETE /system/namespace/{name}`.
    public func deleteNamespace(_ name: String) async throws(PlatformFault) {
        try await call("DELETE", "/system/namespace/\(URLText.escaped(name))", marked(NamespaceRecord(name: name)))
    }

    /// Marked as OpenFaaS' own, as label and as annotation: servers ask for one or the other (contract §10).
    private func marked(_ record: NamespaceRecord) -> NamespaceRecord {
        var record = record
        record.labels = (record.labels ?? [:]).merging(["openfaas": "1"]) { own, _ in own }
        record.annotations = (record.annotations ?? [:]).merging(["openfaas": "1"]) { own, _ in own }
        return record
    }

    // MARK: Info and health

    /// `GET /system/info`.
    public func info() async throws(PlatformFault) -> SystemInfo {
        try await call("GET", "/system/info", returning: SystemInfo.self)
    }

    /// `GET /healthz`.
    public func checkHealth() async throws(PlatformFault) {
        try await call("GET", "/healthz")
    }

    // MARK: Logs

    /// `GET /system/logs`, line by line.
    ///
    /// The stream ends with `providerUnreachable` when a server is silent that gives signs of life.
    public func logs(_ query: LogQuery) async throws(PlatformFault) -> AsyncThrowingStream<LogLine, any Error> {
        let path =
            "/system/logs"
            + self.query(
                ("name", query.function.name),
                ("namespace", query.function.namespace),
                ("instance", query.instance),
                ("tail", query.tail.map(String.init)),
                ("since", query.since?.description),
                ("follow", query.follow ? "true" : "false")
            )
        let answer = try await open(path)
        return lines(of: LogLine.self, answer, givesSigns: answer.givesSignsOfLife)
    }

    /// `GET /system/watch`, record by record (martlet-api "Provider watch").
    ///
    /// A server that is silent is `providerUnreachable`, at once or at the end of the stream.
    public func watch() async throws(PlatformFault) -> AsyncThrowingStream<WatchRecord, any Error> {
        let answer = try await withinSilenceLimit { try await open("/system/watch") }
        return lines(of: WatchRecord.self, answer, givesSigns: true)
    }

    /// Asks for an answer of lines that may go on for ever.
    private func open(_ path: String) async throws(PlatformFault) -> Answer {
        let headers = [(name: "accept", value: "application/x-ndjson, application/json")]
        let answer = try await send("GET", path, headers: headers, timeout: .hours(24 * 365))
        guard answer.status == 200 else { throw refusal(answer.status, try await collect(answer)) }
        return answer
    }

    private func lines<Value: Decodable & Sendable>(
        of type: Value.Type,
        _ answer: Answer,
        givesSigns: Bool
    ) -> AsyncThrowingStream<Value, any Error> {
        let reading = LineReading(answer.body, of: type, givesSigns ? silenceLimit : nil)
        return AsyncThrowingStream { try await reading.next() }
    }

    // MARK: Bundles

    /// `GET /system/bundles`.
    public func bundles() async throws(PlatformFault) -> [BundleRecord] {
        try await call("GET", "/system/bundles", returning: [BundleRecord].self)
    }

    /// `PUT /system/bundles/{name}`: uploads an archive.
    public func storeBundle(name: String, tag: String, archive: Data) async throws(PlatformFault) -> BundleRecord {
        try await storeBundle(name, tag, .bytes(archive))
    }

    /// `PUT /system/bundles/{name}`: uploads an archive that comes in pieces, no faster than the other side takes them.
    ///
    /// - Throws: the archive's own fault, too, where it ends with one.
    public func storeBundle(
        name: String,
        tag: String,
        pieces: some AsyncSequence<[UInt8], PlatformFault> & Sendable
    ) async throws(PlatformFault) -> BundleRecord {
        // As long as pieces come: whoever sends them has limits of their own.
        let body = HTTPClientRequest.Body.stream(pieces.map { ByteBuffer(bytes: $0) }, length: .unknown)
        return try await storeBundle(name, tag, body, within: .hours(24))
    }

    private func storeBundle(
        _ name: String,
        _ tag: String,
        _ archive: HTTPClientRequest.Body,
        within limit: TimeAmount? = nil
    ) async throws(PlatformFault) -> BundleRecord {
        let answer = try await send(
            "PUT",
            "/system/bundles/\(name)" + query(("tag", tag)),
            headers: [(name: "content-type", value: "application/x-tar"), (name: "accept", value: "application/json")],
            body: archive,
            timeout: limit
        )
        let bytes = try await collect(answer)
        guard answer.status == 201 || answer.status == 200,
            let record = try? JSONDecoder().decode(BundleRecord.self, from: bytes)
        else { throw refusal(answer.status, bytes) }
        return record
    }

    /// `DELETE /system/bundles/{name}`.
    public func deleteBundle(name: String, tag: String) async throws(PlatformFault) {
        try await call("DELETE", "/system/bundles/\(name)" + query(("tag", tag)))
    }

    // MARK: URLs

    func query(_ pairs: (String, String?)...) -> String {
        let parts = pairs.compactMap { name, value in value.map { "\(name)=\(URLText.escaped($0))" } }
        return parts.isEmpty ? "" : "?" + parts.joined(separator: "&")
    }
}

/// Reads an answer line by line, no faster than lines are asked for.
///
/// A slow reader slows its server, instead of filling the memory in between.
private final class LineReading<Value: Decodable & Sendable>: @unchecked Sendable {  // A stream's one reader, in turn.
    private var body: HTTPClientResponse.Body.AsyncIterator
    private var splitter = LineSplitter()
    private var lines: ArraySlice<Data> = []
    /// Holds for each piece of the answer; nil for servers that may well have nothing to say.
    private let limit: SilenceLimit?

    init(_ body: HTTPClientResponse.Body, of type: Value.Type, _ limit: SilenceLimit?) {
        self.body = body.makeAsyncIterator()
        self.limit = limit
    }

    func next() async throws -> Value? {
        while true {
            if let line = lines.popFirst() { return try JSONDecoder().decode(Value.self, from: line) }
            guard let piece = try await nextPiece() else {
                guard let last = splitter.end() else { return nil }
                return try JSONDecoder().decode(Value.self, from: last)
            }
            lines = try splitter.take(piece)[...]
        }
    }

    private func nextPiece() async throws -> ByteBuffer? {
        guard let limit else { return try await body.next() }
        return try await limit.holds { try await self.body.next() }
    }
}

extension SystemClient.Answer {
    /// Whether an answer of lines has an empty one where there is long nothing to say.
    fileprivate var givesSignsOfLife: Bool {
        headers.contains { $0.name.lowercased() == "x-martlet-heartbeat" }
    }
}

/// Puts the lines of a stream together again.
private struct LineSplitter {
    private var rest = ByteBuffer()
    /// Bytes of the rest that hold no line's end.
    private var searched = 0

    /// - Throws: `providerFailed` for a line that goes on for longer than any answer may be.
    mutating func take(_ piece: ByteBuffer) throws(PlatformFault) -> [Data] {
        rest.writeImmutableBuffer(piece)
        var lines: [Data] = []
        while let end = rest.readableBytesView.dropFirst(searched).firstIndex(of: 0x0A) {
            let length = end - rest.readerIndex
            if length > 0 { lines.append(Data(rest.readBytes(length: length) ?? [])) }
            rest.moveReaderIndex(forwardBy: 1)
            searched = 0
        }
        rest.discardReadBytes()
        searched = rest.readableBytes
        guard searched <= SystemClient.answerLimit else {
            throw PlatformFault(
                .providerFailed,
                "A line of the answer is longer than \(SystemClient.answerLimit) bytes."
            )
        }
        return lines
    }

    /// What has come behind the last line's end: a line, too.
    mutating func end() -> Data? {
        defer { rest.clear() }
        return rest.readableBytes > 0 ? Data(rest.readableBytesView) : nil
    }
}
