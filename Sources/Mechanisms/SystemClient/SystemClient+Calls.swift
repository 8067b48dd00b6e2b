// SPDX-License-Identifier: Apache-2.0

public import FaultModel
public import Foundation
public import FunctionModel

/// Asynchronous calls (martlet-api "Calls").
extension SystemClient {
    /// `GET /system/calls`.
    public func calls(
        function: String?,
        state: String?,
        since: String?,
        limit: Int,
        cursor: String?
    ) async throws(PlatformFault) -> CallListing {
        try await call(
            "GET",
            "/system/calls"
                + query(
                    ("function", function),
                    ("state", state),
                    ("since", since),
                    ("limit", String(limit)),
                    ("cursor", cursor)
                ),
            returning: CallListing.self
        )
    }

    /// `GET /system/calls/{id}`.
    public func call(_ id: String) async throws(PlatformFault) -> CallDescription {
        try await call("GET", "/system/calls/\(URLText.escaped(id))", returning: CallDescription.self)
    }

    /// `GET /system/calls/{id}/result`: the answer's body.
    public func callResult(_ id: String) async throws(PlatformFault) -> Data {
        let answer = try await send(
            "GET",
            "/system/calls/\(URLText.escaped(id))/result",
            headers: [("accept", "application/json")]
        )
        let bytes = try await collect(answer)
        guard answer.status == 200 else { throw refusal(answer.status, bytes) }
        return bytes
    }

    /// `POST /system/calls/{id}/retry`.
    public func retryCall(_ id: String) async throws(PlatformFault) {
        try await call("POST", "/system/calls/\(URLText.escaped(id))/retry")
    }

    /// `POST /system/calls/dead/retry`; returns how many.
    public func retryDeadCalls(of function: String?) async throws(PlatformFault) -> Int {
        let path = "/system/calls/dead/retry" + query(("function", function))
        return try await call("POST", path, returning: [String: Int].self)["retried"] ?? 0
    }

    /// `POST /system/calls/{id}/export`; reads the call whole, however long it is.
    public func exportCall(_ id: String) async throws(PlatformFault) -> ExportedCall {
        try await call("POST", "/system/calls/\(URLText.escaped(id))/export", returning: ExportedCall.self, upTo: .max)
    }

    /// `DELETE /system/calls/{id}/export`: the call waits there again.
    public func takeBackCall(_ id: String) async throws(PlatformFault) {
        try await call("DELETE", "/system/calls/\(URLText.escaped(id))/export")
    }

    /// `POST /system/calls/import`; false for a call that is known there.
    public func importCall(_ exported: ExportedCall) async throws(PlatformFault) -> Bool {
        try await call("POST", "/system/calls/import", exported, returning: [String: Bool].self)["imported"] ?? false
    }

    /// `DELETE /async-function/{id}`.
    public func cancelCall(_ id: String) async throws(PlatformFault) {
        try await call("DELETE", "/async-function/\(URLText.escaped(id))")
    }

    /// `DELETE /system/calls`; returns how many.
    public func purgeCalls(function: String?, state: String?) async throws(PlatformFault) -> Int {
        let path = "/system/calls" + query(("function", function), ("state", state))
        return try await call("DELETE", path, returning: [String: Int].self)["purged"] ?? 0
    }

    /// `GET /system/queue`.
    public func queueNumbers() async throws(PlatformFault) -> QueueDescription {
        try await call("GET", "/system/queue", returning: QueueDescription.self)
    }
}
