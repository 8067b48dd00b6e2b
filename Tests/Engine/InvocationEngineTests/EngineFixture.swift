// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import InvocationEngine
import NIOCore
import NIOPosix
import ProcessControl
import ProviderContract
import Synchronization
import TestSupport

/// An engine on free ports with one function `fn`, whose replica is a scripted server.
final class EngineFixture: Sendable {
    let port: Int
    let origin: ScriptedOrigin
    let table: RoutingTable
    let replica: Replica
    private let door: FrontDoor
    let activations = Counter()

    init(
        environment: [String: String] = [:],
        settings: EngineSettings = EngineSettings(servedBy: "martlet/test"),
        isReady: Bool = true,
        isTold: Bool = true,
        answer: @escaping @Sendable (String) -> [ScriptedOrigin.Step] = { _ in [.send(EngineFixture.ok)] }
    ) async throws {
        origin = try await ScriptedOrigin(answer: answer)
        let activations = activations
        table = RoutingTable { _, _ in activations.add() }
        replica = Replica(
            id: "fn-1",
            target: Upstream(.tcp(host: "127.0.0.1", port: origin.port)),
            maxInFlight: try Self.policy(environment).maxInFlight
        )
        door = FrontDoor(
            group: .singletonMultiThreadedEventLoopGroup,
            settings: settings,
            table: table,
            responder: EchoResponder()
        )
        port = try await door.listen(host: "127.0.0.1", port: 0).port ?? 0
        if isTold { table.apply(.snapshot([try Self.route(replicas: isReady ? [replica] : [], environment)])) }
    }

    static func policy(_ environment: [String: String]) throws -> CallPolicy {
        let variables = environment.merging(["mode": "http"]) { own, _ in own }
        return try FunctionSpec(FunctionDeployment(service: "fn", image: "host", envVars: variables)).calls
    }

    static func route(replicas: [Replica], _ environment: [String: String] = [:]) throws -> FunctionRoute {
        FunctionRoute(
            id: FunctionID(name: "fn", namespace: "openfaas-fn"),
            revision: 1,
            desiredReplicas: replicas.count,
            policy: try policy(environment),
            replicas: replicas
        )
    }

    /// Lets calls go elsewhere, and returns when every event loop has heard of it.
    func serve(_ target: any InvocationTarget) async throws {
        let replica = Replica(id: "other", target: target, maxInFlight: nil)
        table.apply(.changed(try Self.route(replicas: [replica])))
        _ = try await metrics()
    }

    static let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

    /// Sends bytes on a connection of its own and returns everything until it closes.
    func exchange(_ request: String) async throws -> String {
        let connection = try RawConnection(port: port)
        try await connection.send(request)
        return try await connection.receive()
    }

    /// A request that closes its connection.
    static func request(
        _ line: String = "GET /function/fn HTTP/1.1",
        _ fields: String = "",
        body: String = ""
    ) -> String {
        "\(line)\r\nHost: gw:8080\r\nConnection: close\r\n\(fields)\r\n\(body)"
    }

    /// Listens on one more port.
    func listen(_ offer: ListenerOffer) async throws -> Int {
        try await door.listen(host: "127.0.0.1", port: 0, offer: offer).port ?? 0
    }

    /// Listens at a path of the file system.
    func listen(at path: String) async throws {
        _ = try await door.listen(on: SocketFile.listen(at: path, mode: 0o600).socket)
    }

    /// Calls as the platform itself does.
    func call(_ request: DirectRequest, done: @escaping @Sendable (DirectAnswer) -> Void) -> DirectCall {
        door.call(request, done: done)
    }

    func metrics() async throws -> FunctionMetrics? { try await door.metrics().first }

    func drain(within limit: Duration = .seconds(5)) async { await door.drain(within: limit) }
}

/// An access log that keeps what it is told, but of calls with the status 299.
final class RecordedCalls: AccessLog {
    private let calls = Mutex<[AccessRecord]>([])

    var all: [AccessRecord] { calls.withLock { $0 } }

    func wants(status: Int) -> Bool { status != 299 }

    func note(_ call: AccessRecord) { calls.withLock { $0.append(call) } }
}

/// Answers with what it was asked.
struct EchoResponder: LocalResponder {
    func respond(to request: LocalRequest, body: LocalRequestBody, writer: any LocalResponseWriter) async {
        do {
            var text = "\(request.method) \(request.target)\n"
            for try await piece in body { text += String(buffer: piece) }
            let bytes = ByteBuffer(string: text)
            let length = [(name: "Content-Length", value: "\(bytes.readableBytes)")]
            try await writer.writeHead(status: 200, headers: length)
            try await writer.write(bytes)
        } catch {
            // The client broke off: the test looks at what it got.
        }
    }
}

/// Accepts every call, and keeps none.
struct AcceptingIntake: CallIntake {
    let bodyLimit = 1000
    let count = Counter()

    func accept(_ request: IntakeRequest, done: @escaping @Sendable (Result<IntakeReceipt, PlatformFault>) -> Void) {
        count.add()
        done(.success(IntakeReceipt(id: "1", callID: "1", isDuplicate: false)))
    }
}
