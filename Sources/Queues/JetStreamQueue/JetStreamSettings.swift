// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionModel
public import NATSClient
public import RuntimeSettings

/// Where asynchronous calls are kept when it is not the data directory.
public struct JetStreamSettings: SettingsSection {
    /// Below which they stand in the file.
    public static let name: String? = "queue"

    /// URLs of servers, the credentials among them; none where the queue is in the data directory.
    public let servers: [String]
    /// A file of a JWT and its seed.
    public let credentialsFile: String?
    /// A file of authorities (PEM).
    public let authoritiesFile: String?
    /// On how many servers each call is kept: 1, 3 or 5.
    public let replicas: Int
    /// The queue's name.
    public let queue: String
    /// Who works here; nil means the machine's name.
    public let worker: String?

    /// Reads them.
    public init(_ reader: inout SettingsReader) {
        let named = reader.optionalURLs(
            Setting(
                "nats-url",
                "NATS servers whose JetStream keeps asynchronous calls, as nats://user:password@host:4222, split by commas; by default the data directory keeps them.",
                flag: .value
            ),
            defaultPorts: ["nats": 4222, "tls": 4222],
            orElse: "is not a list of NATS servers, as nats://HOST:4222,nats://OTHER:4222"
        )
        let address = reader.address(
            Setting(
                "nats-host",
                also: ["faas_nats_address", "nats_host"],
                "The same by its name alone, as OpenFaaS has it."
            ),
            Setting("nats-port", also: ["faas_nats_port", "nats_port"], default: "4222", "The port of that server."),
            scheme: "nats"
        )
        servers = named ?? [address].compactMap(\.self)
        credentialsFile = reader.optionalText(
            Setting("nats-creds", "File of the credentials (JWT and seed) that NATS wants.")
        )
        authoritiesFile = reader.optionalText(
            Setting(
                "nats-ca",
                "File of the authorities (PEM) that NATS servers' certificates are checked against; with it TLS is a must."
            )
        )
        let number = reader.number(
            Setting(
                "nats-replicas",
                also: ["nats_stream_replicas"],
                default: "1",
                "On how many servers of a NATS cluster each call is kept: 1, 3 or 5."
            ),
            in: 1...5
        )
        replicas =
            number.isMultiple(of: 2)
            ? reader.refuse("nats-replicas", "is none of 1, 3 and 5: only an odd number has a majority", 1) : number
        queue = reader.queueName(
            Setting(
                "queue-name",
                also: ["queue_name", "faas_nats_channel"],
                default: "faas-request",
                "The queue's name on the NATS server; its streams begin with OF_ and this."
            )
        )
        worker = reader.optionalText(
            Setting(
                "worker-name",
                "By which a worker that starts again knows what it had in flight; the machine's name by default."
            )
        )
    }

    /// How to connect; `name` is what the server's operator sees.
    public func connection(_ name: String) -> NATSConnection.Settings {
        NATSConnection.Settings(
            servers: servers,
            name: name,
            credentialsFile: credentialsFile,
            authoritiesFile: authoritiesFile
        )
    }
}

extension SettingsReader {
    /// A name that can be part of a stream's.
    fileprivate mutating func queueName(_ setting: Setting) -> String {
        let text = text(setting)
        let isName =
            !text.isEmpty
            && text.utf8.allSatisfy { byte in
                byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_") || byte.isLetterOrDigit
            }
        return isName ? text : refuse(setting.name, "is not a queue's name: letters, digits, - and _", text)
    }
}

extension UInt8 {
    fileprivate var isLetterOrDigit: Bool {
        switch self {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: false
        }
    }
}
