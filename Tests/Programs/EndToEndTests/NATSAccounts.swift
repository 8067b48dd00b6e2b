// SPDX-License-Identifier: Apache-2.0

import Crypto
import Foundation
import TestSupport

/// An operator of NATS with an account and a user of it, as its own tools make them.
///
/// Keys are Ed25519 in base 32 with a checksum, what they grant is a JWT of the one who grants it:
/// https://docs.nats.io/running-a-nats-service/configuration/securing_nats/auth_intro/jwt
struct NATSAccounts {
    /// A key, and what it is for.
    private struct Identity {
        let role: String
        let prefix: UInt8
        let key = Curve25519.Signing.PrivateKey()

        var publicText: String { base32WithChecksum([prefix] + key.publicKey.rawRepresentation) }

        /// The secret part, as credentials have it.
        var seedText: String {
            base32WithChecksum([144 | prefix >> 5, (prefix & 31) << 3] + key.rawRepresentation)
        }
    }

    private let maker = Identity(role: "operator", prefix: 14 << 3)
    private let system = Identity(role: "account", prefix: 0)
    private let account = Identity(role: "account", prefix: 0)
    private let user = Identity(role: "user", prefix: 20 << 3)
    private let tokens: (maker: String, system: String, account: String, user: String)

    init() throws {
        let limits = ["subs", "data", "payload", "imports", "exports", "conn", "leaf"]
        let storage = ["mem_storage", "disk_storage", "streams", "consumer"]
        let none = Dictionary(uniqueKeysWithValues: limits.map { ($0, -1 as Any) }).merging(["wildcards": true]) { $1 }
        let all = none.merging(storage.map { ($0, -1 as Any) }) { $1 }
        tokens = (
            try Self.token(maker, by: maker, ["system_account": system.publicText]),
            try Self.token(system, by: maker, ["limits": none]),
            try Self.token(account, by: maker, ["limits": all]),
            try Self.token(user, by: account, ["subs": -1, "data": -1, "payload": -1, "pub": [:], "sub": [:]])
        )
    }

    /// What the server has to know.
    func configuration(in folder: TemporaryFolder) -> String {
        let file = folder.write("operator.jwt", tokens.maker)
        return """
            operator: "\(file)"
            system_account: \(system.publicText)
            resolver: MEMORY
            resolver_preload: {
              \(system.publicText): "\(tokens.system)"
              \(account.publicText): "\(tokens.account)"
            }

            """
    }

    /// The file by which the user comes in.
    func credentials(in folder: TemporaryFolder) -> String {
        folder.write(
            "user.creds",
            """
            -----BEGIN NATS USER JWT-----
            \(tokens.user)
            ------END NATS USER JWT------

            -----BEGIN USER NKEY SEED-----
            \(user.seedText)
            ------END USER NKEY SEED------

            """
        )
    }

    private static func token(_ subject: Identity, by issuer: Identity, _ grants: [String: Any]) throws -> String {
        let claims: [String: Any] = [
            "jti": UUID().uuidString, "iat": Int(Date().timeIntervalSince1970), "iss": issuer.publicText,
            "name": subject.role, "sub": subject.publicText,
            "nats": grants.merging(["type": subject.role, "version": 2]) { $1 },
        ]
        let head = base64URL(Data("{\"typ\":\"JWT\",\"alg\":\"ed25519-nkey\"}".utf8))
        let text = "\(head).\(base64URL(try JSONSerialization.data(withJSONObject: claims)))"
        return "\(text).\(base64URL(try issuer.key.signature(for: Data(text.utf8))))"
    }

    private static func base64URL(_ data: Data) -> String {
        data.base64EncodedString().replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
    }
}

/// Bytes with their CRC-16 behind them, in base 32 without padding.
private func base32WithChecksum(_ bytes: [UInt8]) -> String {
    let checksum = bytes.reduce(UInt16(0)) { crc, byte in
        (0..<8).reduce(crc ^ UInt16(byte) << 8) { crc, _ in crc & 0x8000 == 0 ? crc << 1 : crc << 1 ^ 0x1021 }
    }
    let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")
    var (text, buffer, bits) = ("", 0, 0)
    for byte in bytes + [UInt8(truncatingIfNeeded: checksum), UInt8(checksum >> 8)] {
        buffer = buffer << 8 | Int(byte)
        bits += 8
        while bits >= 5 {
            bits -= 5
            text.append(alphabet[buffer >> bits & 31])
        }
        buffer &= (1 << bits) - 1
    }
    if bits > 0 { text.append(alphabet[buffer << (5 - bits) & 31]) }
    return text
}
