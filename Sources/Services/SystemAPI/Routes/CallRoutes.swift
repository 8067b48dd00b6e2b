// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
public import FunctionModel
import HTTPTypes
import Hummingbird
import NIOCore
public import QueueContract

/// `/system/calls`, `/system/queue` and the cancelling of calls (martlet-api "Calls"): what became of asynchronous calls,
/// and what people can do about it.
public struct CallRoutes: Sendable {
    let queue: any CallQueue
    let defaultNamespace: String
    /// Most bytes of a call's body.
    let bodyLimit: Int

    /// Describes the routes of a queue whose calls have bodies of so many bytes at most.
    public init(queue: any CallQueue, bodyLimit: Int, defaultNamespace: String) {
        self.queue = queue
        self.bodyLimit = bodyLimit
        self.defaultNamespace = defaultNamespace
    }

    /// Adds all routes.
    package func addRoutes(to routes: inout RouteList) {
        routes.add(.listCalls, list)
        routes.add(.purgeCalls, purge)
        routes.add(.retryDeadCalls, retryDead)
        routes.add(.importCall, take)
        routes.add(.showCall, show)
        routes.add(.exportCall, export)
        routes.add(.takeCallBack, takeBack)
        routes.add(.showResult, result)
        routes.add(.retryCall, retry)
        routes.add(.showQueue, numbers)
        routes.add(.cancelCall, cancel)
    }

    // MARK: Looking

    @Sendable private func list(_ request: Request, _ context: SystemContext) async throws -> Response {
        let page = try await queue.calls(
            CallQuery(
                function: try function(request),
                state: try state(request),
                since: try since(request),
                limit: try limit(request),
                cursor: value("cursor", of: request)
            )
        )
        return try JSONBody.response(CallListing(calls: page.calls.map(CallDescription.init), next: page.next))
    }

    @Sendable private func show(_ request: Request, _ context: SystemContext) async throws -> Response {
        let id = try id(context)
        guard let record = try await queue.call(id) else { throw unknown(id) }
        return try JSONBody.response(CallDescription(record))
    }

    @Sendable private func result(_ request: Request, _ context: SystemContext) async throws -> Response {
        let result = try await queue.result(try id(context))
        let type = FieldLines.read(result.fields).first { $0.name.lowercased() == "content-type" }?.value
        var headers: HTTPFields = [
            .contentType: type ?? "application/octet-stream",
            // The bytes are a function's: a browser must not take them for a page of the platform.
            .contentDisposition: "attachment",
            .xContentTypeOptions: "nosniff",
        ]
        if let name = HTTPField.Name("X-Function-Status") { headers[name] = String(result.status) }
        return Response(status: .ok, headers: headers, body: ResponseBody(byteBuffer: result.body))
    }

    @Sendable private func numbers(_ request: Request, _ context: SystemContext) async throws -> Response {
        let counts = await queue.counts()
        let functions = counts.functions.sorted { $0.key < $1.key }
        return try JSONBody.response(
            QueueDescription(
                total: QueueNumbers(nil, counts.total),
                oldestSeconds: counts.oldest?.inSeconds,
                functions: functions.map { QueueNumbers($0.key.description, $0.value) }
            )
        )
    }

    // MARK: Doing

    @Sendable private func retry(_ request: Request, _ context: SystemContext) async throws -> Response {
        try await queue.sendAgain(try id(context))
        return .empty(.accepted)
    }

    @Sendable private func retryDead(_ request: Request, _ context: SystemContext) async throws -> Response {
        let retried = try await queue.sendDeadAgain(try function(request))
        return try JSONBody.response(["retried": retried], status: .accepted)
    }

    @Sendable private func purge(_ request: Request, _ context: SystemContext) async throws -> Response {
        let purged = try await queue.purge(function: try function(request), state: try state(request))
        return try JSONBody.response(["purged": purged])
    }

    @Sendable private func cancel(_ request: Request, _ context: SystemContext) async throws -> Response {
        try await queue.cancel(try id(context))
        return .empty(.accepted)
    }

    // MARK: Parameters

    func id(_ context: SystemContext) throws -> String {
        let text = try context.parameters.require("id")
        return text.removingPercentEncoding ?? text
    }

    private func unknown(_ id: String) -> PlatformFault {
        PlatformFault(
            .notFound,
            "There is no call \(NameRule.printable(id)).",
            hint: "List the calls there are: martlet calls list"
        )
    }

    /// A parameter of the query; empty counts as absent.
    private func value(_ name: Substring, of request: Request) -> String? {
        request.uri.queryParameters[values: name].last.map(String.init).flatMap { $0.isEmpty ? nil : $0 }
    }

    private func function(_ request: Request) throws -> FunctionID? {
        try value("function", of: request).map { address in
            guard let id = FunctionID(address: address, defaultNamespace: defaultNamespace) else {
                throw PlatformFault(
                    .invalidValue,
                    "function is \"\(NameRule.printable(address))\", which is not a name."
                )
            }
            return id
        }
    }

    private func state(_ request: Request) throws -> CallState? {
        try value("state", of: request).map { word in
            let state = CallState(rawValue: word)
            guard CallState.known.contains(state) else {
                throw PlatformFault(
                    .invalidValue,
                    "state is \"\(NameRule.printable(word))\".",
                    hint: "Use one of \(CallState.known.map(\.rawValue).joined(separator: ", "))."
                )
            }
            return state
        }
    }

    private func since(_ request: Request) throws -> Timestamp? {
        try value("since", of: request).map { text in
            guard let moment = Timestamp(text) ?? Timestamp(text.replacing(" ", with: "+")) else {
                throw PlatformFault(
                    .invalidValue,
                    "since is \"\(NameRule.printable(text))\".",
                    hint: "Write it as 2026-01-02T15:04:05Z."
                )
            }
            return moment
        }
    }

    private func limit(_ request: Request) throws -> Int {
        guard let text = value("limit", of: request) else { return 100 }
        guard let limit = Int(text), (1...1000).contains(limit) else {
            throw PlatformFault(
                .invalidValue,
                "limit is \"\(NameRule.printable(text))\".",
                hint: "Use a whole number from 1 to 1000."
            )
        }
        return limit
    }
}

extension CallDescription {
    /// What the queue knows, in the API's words.
    init(_ record: CallRecord) {
        self.init(
            id: record.id,
            callId: record.callID,
            function: record.function.description,
            state: record.state.rawValue,
            method: record.method,
            path: record.path,
            query: record.query,
            createdAt: record.createdAt,
            notBefore: record.notBefore,
            finishedAt: record.finishedAt,
            attempts: record.attempts.map(Attempt.init),
            deadReason: record.deadReason,
            callback: record.callback.map {
                Callback(
                    url: CallbackURL.withoutLogin($0.url),
                    state: $0.state,
                    attempts: $0.attempts,
                    status: $0.status
                )
            },
            result: record.result.map(Result.init)
        )
    }
}

extension CallDescription.Attempt {
    init(_ attempt: CallAttempt) {
        self.init(
            number: attempt.number,
            startedAt: attempt.startedAt,
            finishedAt: attempt.finishedAt,
            status: attempt.status,
            fault: attempt.fault
        )
    }
}

extension CallDescription.Result {
    fileprivate init(_ result: CallRecord.Result) {
        var headers: [String: [String]] = [:]
        for (name, value) in result.headers { headers[name, default: []].append(value) }
        self.init(
            status: result.status,
            headers: headers,
            size: result.size,
            truncated: result.isTruncated,
            expiresAt: result.expiresAt
        )
    }
}

extension QueueNumbers {
    /// What the queue counts, in the API's words; no function for all together.
    public init(_ function: String?, _ counts: CallCounts) {
        self.init(
            function: function,
            accepted: counts.accepted,
            waiting: counts.waiting,
            running: counts.running,
            succeeded: counts.succeeded,
            failed: counts.failed,
            dead: counts.dead,
            cancelled: counts.cancelled,
            expired: counts.expired
        )
    }
}
