// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionModel

/// Where asynchronous calls are kept when it is not the data directory: NATS JetStream; see the table for what each means.
public struct JetStreamSettings: Sendable {
    /// URLs of servers, the credentials among them.
    public let servers: [String]
    /// A file of a JWT and its seed.
    public let credentialsFile: String?
    /// A file of authorities (PEM).
    public let authoritiesFile: String?
    /// The queue's name.
    public let queue: String
    /// 1 to 5.
    public let replicas: Int
    /// Who works here; nil means the machine's name.
    public let worker: String?

    /// Nil where no server is named; the settings are read all the same, so that each is checked.
    init?(_ reader: inout SettingsReader) {
        let url = reader.text("nats-url")
        let address = reader.address("nats-host", "nats-port", scheme: "nats")
        let credentials = reader.text("nats-creds")
        let authorities = reader.text("nats-ca")
        credentialsFile = credentials.isEmpty ? nil : credentials
        authoritiesFile = authorities.isEmpty ? nil : authorities
        queue = reader.queueName("queue-name")
        let number = reader.number("nats-replicas", in: 1...5)
        replicas =
            number.isMultiple(of: 2)
            ? reader.refuse("nats-replicas", "is none of 1, 3 and 5: only an odd number has a majority", 1) : number
        let name = reader.text("worker-name")
        worker = name.isEmpty ? nil : name
        servers = url.isEmpty ? address.map { [$0] } ?? [] : reader.natsServers("nats-url", url)
        if servers.isEmpty { return nil }
    }
}

extension SettingsReader {
    /// URLs of NATS servers, split by commas.
    fileprivate mutating func natsServers(_ name: String, _ text: String) -> [String] {
        let servers = text.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
        let ports = ["nats": 4222, "tls": 4222]
        for server in servers where ServerURL(server, defaultPorts: ports).map({ $0.query != nil }) ?? true {
            return refuse(name, "is not a list of NATS servers, as nats://HOST:4222,nats://OTHER:4222", [])
        }
        return servers
    }

    /// A name that can be part of a stream's.
    fileprivate mutating func queueName(_ name: String) -> String {
        let text = text(name)
        let isName =
            !text.isEmpty
            && text.utf8.allSatisfy { byte in
                byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_") || byte.isLetterOrDigit
            }
        return isName ? text : refuse(name, "is not a queue's name: letters, digits, - and _", text)
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
