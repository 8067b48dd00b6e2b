// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
import HTTPTypes
import Hummingbird
import NIOCore

/// Reading and writing JSON bodies.
enum JSONBody {
    /// Most bytes of a JSON body; far more than any deployment has.
    static let limit = 4 * 1_048_576

    /// Reads the body of a request, up to a limit in bytes.
    ///
    /// - Throws: `malformedBody` saying what is wrong and where, `bodyTooLarge`.
    static func decode<Value: Decodable>(
        _ type: Value.Type,
        from request: Request,
        upTo limit: Int = JSONBody.limit
    ) async throws -> Value {
        let bytes: ByteBuffer
        do {
            bytes = try await request.body.collect(upTo: limit)
        } catch is NIOTooManyBytesError {
            throw PlatformFault(.bodyTooLarge, "The request's body is larger than the limit of \(limit) bytes.")
        }
        do {
            return try JSONDecoder().decode(type, from: Data(bytes.readableBytesView))
        } catch let error as DecodingError {
            throw PlatformFault(.malformedBody, "failed to unmarshal request: \(words(for: error))")
        }
    }

    /// An answer with a JSON body.
    static func response(_ value: some Encodable, status: HTTPResponse.Status = .ok) throws -> Response {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return Response(
            status: status,
            headers: [.contentType: "application/json"],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: try encoder.encode(value)))
        )
    }

    private static func words(for error: DecodingError) -> String {
        switch error {
        case .keyNotFound(let key, _): "\"\(key.stringValue)\" is missing"
        case .typeMismatch(let type, let context): "\(place(context)) should be \(name(of: type))"
        case .valueNotFound(let type, let context): "\(place(context)) should be \(name(of: type)), not null"
        case .dataCorrupted(let context):
            context.codingPath.isEmpty ? "it is not JSON" : "\(place(context)): \(context.debugDescription)"
        @unknown default: "it cannot be read"
        }
    }

    private static func place(_ context: DecodingError.Context) -> String {
        let path = context.codingPath.map(\.stringValue).joined(separator: ".")
        return path.isEmpty ? "the body" : "\"\(path)\""
    }

    private static func name(of type: any Any.Type) -> String {
        switch type {
        case is String.Type: "a string"
        case is Bool.Type: "true or false"
        case is Int.Type, is UInt.Type: "a whole number"
        case is Double.Type: "a number"
        default: "\(type)".contains("Array") ? "an array" : "an object"
        }
    }
}

extension Response {
    /// An answer without a body, and with one more header field where there is something to tell.
    static func empty(_ status: HTTPResponse.Status, _ field: (name: String, value: String)? = nil) -> Response {
        var headers: HTTPFields = [.contentLength: "0"]
        if let field, let name = HTTPField.Name(field.name) { headers[name] = field.value }
        return Response(status: status, headers: headers)
    }
}
