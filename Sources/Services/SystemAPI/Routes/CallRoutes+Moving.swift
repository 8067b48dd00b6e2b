// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
import FunctionModel
import Hummingbird
import NIOCore
import NIOFoundationCompat
import QueueContract

/// Calls on their way from one queue to another.
extension CallRoutes {
    /// `POST /system/calls/{id}/export`: gives a waiting or dead call away, whole.
    @Sendable func export(_ request: Request, _ context: SystemContext) async throws -> Response {
        try JSONBody.response(ExportedCall(try await queue.handOver(try id(context))))
    }

    /// `DELETE /system/calls/{id}/export`: a call that was given away waits here again.
    @Sendable func takeBack(_ request: Request, _ context: SystemContext) async throws -> Response {
        try await queue.takeBack(try id(context))
        return .empty(.accepted)
    }

    /// What the longest call takes as JSON: its body and its header lines in base64, and all else.
    var importLimit: Int { (bodyLimit + JSONBody.limit) / 3 * 4 + JSONBody.limit }

    /// Reads a call, which may be as long as any that is accepted.
    private func exported(_ request: Request) async throws -> ExportedCall {
        do { return try await JSONBody.decode(ExportedCall.self, from: request, upTo: importLimit) } catch let fault
            as PlatformFault where fault.code == .bodyTooLarge
        {
            throw PlatformFault.callTooLarge(limit: bodyLimit)
        }
    }

    /// `POST /system/calls/import`: 201 for a call that is new here, 200 for one that is known.
    @Sendable func take(_ request: Request, _ context: SystemContext) async throws -> Response {
        let exported = try await exported(request)
        guard let moved = MovedCall(exported, defaultNamespace: defaultNamespace) else {
            throw PlatformFault(
                .malformedBody,
                "The call is not as martlet calls export writes it.",
                hint: "Import the file as it is."
            )
        }
        let isNew = try await queue.adopt(moved)
        return try JSONBody.response(["imported": isNew], status: isNew ? .created : .ok)
    }
}

extension ExportedCall {
    init(_ moved: MovedCall) {
        let call = moved.call
        var notBefore = call.acceptedAt
        if case .at(let moment) = call.start { notBefore = moment }
        self.init(
            id: moved.id,
            callId: call.callID,
            function: call.function.description,
            method: call.method,
            path: call.path,
            query: call.query,
            fields: Data(buffer: call.fields).base64EncodedString(),
            body: Data(buffer: call.body).base64EncodedString(),
            clientAddress: call.clientAddress,
            idempotencyKey: call.idempotencyKey,
            callbackUrl: call.callbackURL,
            createdAt: call.acceptedAt,
            notBefore: notBefore,
            attempts: moved.attempts.map(CallDescription.Attempt.init),
            deadReason: moved.deadReason
        )
    }
}

extension MovedCall {
    init?(_ exported: ExportedCall, defaultNamespace: String) {
        guard let function = FunctionID(address: exported.function, defaultNamespace: defaultNamespace),
            let fields = Data(base64Encoded: exported.fields), let body = Data(base64Encoded: exported.body),
            NameRule.isLabel(function.name), NameRule.isLabel(function.namespace),
            Self.isID(exported.id), Self.isID(exported.callId), Self.isWord(exported.method),
            exported.path.isEmpty || exported.path.hasPrefix("/") && Self.isWord(exported.path),
            exported.clientAddress.isEmpty || Self.isWord(exported.clientAddress),
            exported.query.map({ $0.isEmpty || Self.isWord($0) }) ?? true,
            exported.callbackUrl.map({ CallbackURL($0) != nil }) ?? true
        else { return nil }
        let call = NewCall(
            function: function,
            method: exported.method,
            path: exported.path,
            query: exported.query,
            fields: ByteBuffer(data: fields),
            body: ByteBuffer(data: body),
            clientAddress: exported.clientAddress,
            callID: exported.callId,
            idempotencyKey: exported.idempotencyKey,
            callbackURL: exported.callbackUrl,
            start: .at(exported.notBefore),
            acceptedAt: exported.createdAt
        )
        let attempts = exported.attempts.map { attempt in
            CallAttempt(
                number: attempt.number,
                startedAt: attempt.startedAt,
                finishedAt: attempt.finishedAt,
                status: attempt.status,
                fault: attempt.fault
            )
        }
        self.init(id: exported.id, call: call, attempts: attempts, deadReason: exported.deadReason)
    }

    /// What stands in a request line.
    private static func isWord(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.allSatisfy { $0 > 0x20 && $0 != 0x7F }
    }

    /// Ids become headers, and parts of subjects.
    private static func isID(_ text: String) -> Bool {
        (1...255).contains(text.utf8.count) && text.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F }
    }
}
