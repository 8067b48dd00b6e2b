// SPDX-License-Identifier: Apache-2.0

public import FaultModel
public import NATSClient

/// A look at the queue of a NATS server from outside, for whoever wants to know whether it can be used.
public struct JetStreamInspection: Sendable {
    /// On how many servers the requests are kept; nil where there is no queue yet.
    public let replicas: Int?

    /// Looks; changes nothing.
    ///
    /// - Throws: `badSettings` and `storageUnavailable`, saying why the server cannot be used.
    public init(_ settings: NATSConnection.Settings, queue: String) async throws(PlatformFault) {
        let connection = try NATSConnection(settings)
        defer { connection.close() }
        let server = JetStreamServer(connection)
        let streams = Streams(queue: queue)
        replicas = try await streams.information(streams.requests, on: server)?.config.numReplicas
    }
}
