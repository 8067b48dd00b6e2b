// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// Requests for those who know nothing of the engine's own form of them.
extension LocalRequest {
    init(_ exchange: Exchange, _ head: RequestHead, target: String, in bytes: UnsafeRawBufferPointer) {
        let length: Int? =
            switch head.framing {
            case .length(let length): length
            case .chunked: nil
            case .none, .untilClose: 0
            }
        self.init(
            method: String(decoding: bytes[head.methodRange], as: UTF8.self),
            target: target,
            headers: exchange.scanner.fields.filter { !$0.name.endsAtHop }.map {
                (
                    String(decoding: $0.nameBytes(in: bytes), as: UTF8.self),
                    String(decoding: $0.valueBytes(in: bytes), as: UTF8.self)
                )
            },
            contentLength: length,
            clientAddress: exchange.clientAddress.isEmpty ? nil : exchange.clientAddress
        )
    }

    /// Path and query, with one slash at the beginning: none is what an absolute target may have, and several are what
    /// `Destination` takes for one.
    static func target(_ head: RequestHead, in bytes: UnsafeRawBufferPointer) -> String {
        let path = UnsafeRawBufferPointer(rebasing: bytes[head.target.lowerBound..<head.pathEnd])
        let start = head.target.lowerBound + Destination.extraSlashes(path)
        return (path.isEmpty ? "/" : "") + String(decoding: bytes[start..<head.target.upperBound], as: UTF8.self)
    }
}

extension OriginCall {
    /// What the client asks for: path and query are those behind the function's name.
    package var request: LocalRequest {
        guard let head = exchange.head else {
            return LocalRequest(method: "", target: "/", headers: [], contentLength: 0, clientAddress: nil)
        }
        return exchange.headBytes.withUnsafeReadableBytes { bytes in
            let target = String(decoding: bytes[exchange.rest], as: UTF8.self)
            return LocalRequest(exchange, head, target: target.hasPrefix("/") ? target : "/" + target, in: bytes)
        }
    }
}
