// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import Glibc
import InvocationEngine
import NIOCore
import NIOPosix
import ProviderContract

/// The engine alone on one event loop, in front of one server: what is measured, and nothing else.
///
/// `EngineBench UPSTREAM_PORT` prints its own port and ends when its standard input does.
@main
struct EngineBench {
    static func main() throws {
        guard CommandLine.arguments.count == 2, let upstream = Int(CommandLine.arguments[1]) else {
            print("Usage: EngineBench UPSTREAM_PORT")
            exit(64)
        }
        let table = RoutingTable { _, _ in }
        let door = FrontDoor(
            group: MultiThreadedEventLoopGroup(numberOfThreads: 1),
            settings: EngineSettings(servedBy: "martlet/bench"),
            table: table,
            responder: NoResponder()
        )
        let target = Upstream(.tcp(host: "127.0.0.1", port: upstream))
        table.apply(
            .snapshot([
                FunctionRoute(
                    id: FunctionID(name: "fn", namespace: "openfaas-fn"),
                    revision: 1,
                    desiredReplicas: 1,
                    replicas: [Replica(id: "fn-1", target: target, maxInFlight: nil)]
                )
            ])
        )
        // Without tasks: their threads do not come up under valgrind.
        print(try door.bind(host: "127.0.0.1", port: 0).wait().port ?? 0)
        fflush(nil)
        while getchar() != EOF {}
        exit(0)
    }
}

private struct NoResponder: LocalResponder {
    func respond(to request: LocalRequest, body: LocalRequestBody, writer: any LocalResponseWriter) async {
        // A client that has gone need not be told.
        try? await writer.writeHead(status: 404, headers: [("Content-Length", "0")])
    }
}
