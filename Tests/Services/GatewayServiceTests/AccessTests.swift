// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import HTTPTypes
import Hummingbird
import InvocationWorker
import Logging
import NIOCore
import NIOPosix
import ProviderConformance
import ProviderContract
import QueueConformance
import Synchronization
import Testing

@testable import GatewayService
@testable import InvocationEngine
@testable import SystemAPI

/// Every row of the table of access, asked of whatever answers on each listener that a gateway may have.
struct AccessTests {
    /// Knows one word each of somebody who may do everything and of somebody who may do nothing.
    private struct Words: Authenticator {
        func authenticate(_ request: Request) async -> Principal? {
            switch request.headers[.authorization] {
            case "right": .administrator("admin")
            case "guest": Principal(Principal.Kind(rawValue: "guest"), name: "guest")
            default: nil
            }
        }
    }

    /// A gateway, by where it listens.
    private enum Shape: CaseIterable {
        case whole
        case withoutQueue
        case withManagementElsewhere
        case provider

        var surfaces: [(role: ListenerRole, surfaces: Set<GatewayService.Listener.Surface>)] {
            let alone: [(ListenerRole, Set<GatewayService.Listener.Surface>)] = [
                (.page, [.page]), (.metrics, [.metrics]),
            ]
            return switch self {
            case .whole, .withoutQueue: [(.api, [.functions, .management])] + alone
            case .withManagementElsewhere: [(.api, [.functions]), (.management, [.functions, .management])] + alone
            case .provider: [(.api, [.functions, .management, .metrics]), (.metrics, [.metrics])]
            }
        }

        var hasQueue: Bool { self == .whole || self == .withManagementElsewhere }

        /// What is there for whoever is known, and for nobody else.
        func guarded(on surfaces: Set<GatewayService.Listener.Surface>) -> Set<Endpoint> {
            let page: Set<Endpoint> = [.showPage, .showPageStyle]
            if surfaces.contains(.page) { return page }
            guard surfaces.contains(.management) else { return [] }
            return Set(
                Endpoint.allCases.filter { endpoint in
                    guard case .needs(let permission) = endpoint.row.access else { return false }
                    return permission.resource != .call || hasQueue || permission.verb == .cancel
                }
            ).subtracting(page)
        }

        /// What is there for everybody.
        func open(on surfaces: Set<GatewayService.Listener.Surface>) -> Set<Endpoint> {
            var open: Set<Endpoint> = surfaces == [.page] ? [.leadToPage] : [.showHealth, .showReadiness]
            if surfaces.contains(.metrics) { open.insert(.showMetrics) }
            if surfaces.contains(.functions), !hasQueue { open.insert(.refuseCall) }
            guard surfaces.contains(.management) else { return open }
            // A provider alone has no page to lead to.
            return open.union(
                self == .provider ? [.leadToPage] : [.leadToPage, .leadToPageFromPath, .leadToPageFromWithin]
            )
        }
    }

    private func doors(_ shape: Shape) -> [Door] {
        var settings = Gateway.Settings(
            listeners: shape.surfaces.map { GatewayService.Listener($0, .tcp(host: "127.0.0.1", port: 0), $1) },
            defaultNamespace: NameRule.defaultNamespace,
            version: ProviderInfo.Version(release: "test", sha: "test"),
            authenticator: Words(),
            engine: EngineSettings(servedBy: "martlet/test"),
            isProvider: shape == .provider
        )
        settings.page = shape == .provider ? nil : Gateway.Page(host: "127.0.0.1", port: 0, apiHost: "127.0.0.1")
        let asynchrony = Gateway.Asynchrony(
            queue: MemoryQueue(),
            worker: WorkerSettings(defaultNamespace: NameRule.defaultNamespace, userAgent: "test"),
            bodyLimit: 1024
        )
        return Gateway(
            settings,
            provider: InMemoryProvider(),
            counts: nil,
            asynchrony: shape.hasQueue ? asynchrony : nil,
            scaling: Gateway.Scaling(isOn: false),
            stopping: Stopping(limit: .zero),
            group: MultiThreadedEventLoopGroup.singleton,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        ).handOver.doors.all
    }

    /// Hears how an answer begins; one that goes on for ever is not waited for.
    private final class Ear: LocalResponseWriter {
        struct HasHeard: Error {}

        private let answer = Mutex((status: 0, body: ""))

        var heard: (status: Int, body: String) { answer.withLock { $0 } }

        func writeHead(status: Int, headers: [(name: String, value: String)]) async throws {
            answer.withLock { $0.status = status }
        }

        func write(_ bytes: ByteBuffer) async throws {
            answer.withLock { $0.body += String(buffer: bytes) }
            throw HasHeard()
        }
    }

    /// A path that fits a row.
    private func path(_ row: Endpoint.Row) -> String {
        let parts = row.path.split(separator: "/").map { part in
            part.hasPrefix("{") || part.hasPrefix(":") || part == "**" ? "some" : part
        }
        return "/" + parts.joined(separator: "/")
    }

    /// Asks for what fits a row, as somebody or as nobody.
    private func ask(_ door: Door, _ row: Endpoint.Row, as who: String? = nil) async throws -> (Int, String) {
        let request = LocalRequest(
            method: row.method.rawValue,
            target: path(row),
            headers: [("host", "127.0.0.1")] + (who.map { [("authorization", $0)] } ?? []),
            contentLength: 0,
            clientAddress: nil
        )
        let ear = Ear()
        let responder = try #require(door.offer.responder)
        await responder.respond(to: request, body: LocalRequestBody(stream: nil), writer: ear)
        return (ear.heard.status, ear.heard.body)
    }

    @Test(arguments: Shape.allCases)
    private func `each listener has what it should, and asks of whoever comes what the table says`(
        shape: Shape
    ) async throws {
        for door in doors(shape) {
            let surfaces = door.listener.surfaces
            let (guarded, open) = (shape.guarded(on: surfaces), shape.open(on: surfaces))
            let guardedPaths = Set(guarded.map { path($0.row) })
            for endpoint in Endpoint.allCases {
                let what = "\(shape) \(door.listener.role): \(endpoint)"
                let row = endpoint.row
                let nobody = try await ask(door, row)
                guard guarded.contains(endpoint) else {
                    // What a path has no answer for is said behind the gate, too, unless all of the path is open.
                    let isGuarded = guardedPaths.contains(path(row)) && !open.contains(endpoint)
                    #expect((nobody.0 == 401) == isGuarded && ![0, 403, 500].contains(nobody.0), "\(what) \(nobody)")
                    // Where there is no page, that is what its ways say.
                    let isThere = ![404, 405].contains(nobody.0) || nobody.1.contains("shows no page")
                    if open.contains(endpoint) { #expect(isThere, "\(what) \(nobody)") }
                    continue
                }
                #expect(nobody.0 == 401, "\(what) \(nobody)")
                #expect(try await ask(door, row, as: "wrong").0 == 401, "\(what)")
                #expect(try await ask(door, row, as: "guest").0 == 403, "\(what)")
                let known = try await ask(door, row, as: "right")
                #expect(![0, 401, 403, 405, 500].contains(known.0), "\(what) \(known)")
                #expect(known.1 != "404 page not found\n", "\(what)")
            }
        }
    }

    @Test func `where management is elsewhere, whether the platform is alive is all that is told`() async throws {
        let alone = try #require(doors(.withManagementElsewhere).first { $0.listener.role == .api })
        for endpoint in Endpoint.allCases where ![.showHealth, .showReadiness].contains(endpoint) {
            #expect(try await ask(alone, endpoint.row).0 == 404, "\(endpoint)")
        }
    }

    @Test func `no row of the table is without a listener that has it, and these alone are open`() {
        let all = Shape.allCases.flatMap { shape in
            shape.surfaces.flatMap { shape.guarded(on: $0.surfaces).union(shape.open(on: $0.surfaces)) }
        }
        #expect(Set(all) == Set(Endpoint.allCases))
        #expect(
            Endpoint.allCases.filter { $0.row.access == .open } == [
                .refuseCall, .showHealth, .showReadiness, .leadToPage, .leadToPageFromPath, .leadToPageFromWithin,
                .showMetrics,
            ]
        )
    }
}
