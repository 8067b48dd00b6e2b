// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import InvocationEngine
import InvocationWorker
import QueueContract

/// Gives the engine's asynchronous calls to the queue, once it is clear what they ask for.
struct QueueIntake: CallIntake {
    let queue: any CallQueue
    let bodyLimit: Int
    /// Most bytes of an idempotency key.
    private static let keyLimit = 255

    func accept(
        _ request: IntakeRequest,
        done: @escaping @Sendable (Result<IntakeReceipt, PlatformFault>) -> Void
    ) {
        let call: NewCall
        do throws(PlatformFault) { call = try Self.call(request) } catch { return done(.failure(error)) }
        queue.accept(call) { outcome in
            done(outcome.map { IntakeReceipt(id: $0.id, callID: $0.callID, isDuplicate: $0.isDuplicate) })
        }
    }

    private static func call(_ request: IntakeRequest) throws(PlatformFault) -> NewCall {
        let mark = request.target.utf8.firstIndex(of: UInt8(ascii: "?"))
        let acceptedAt = Timestamp(nanosecondsSinceEpoch: Int64(request.acceptedAt))
        return NewCall(
            function: request.function,
            path: mark.map { String(request.target[..<$0]) } ?? request.target,
            query: mark.map { String(request.target[request.target.index(after: $0)...]) },
            fields: request.fields,
            body: request.body,
            clientAddress: request.clientAddress,
            callID: request.callID ?? CallIDs.fresh(at: acceptedAt),
            isCallIDFresh: request.callID == nil,
            idempotencyKey: try key(request),
            callbackURL: try callback(request),
            start: try start(request),
            acceptedAt: acceptedAt
        )
    }

    private static func key(_ request: IntakeRequest) throws(PlatformFault) -> String? {
        guard let key = request.idempotencyKey else { return nil }
        guard key.utf8.count <= keyLimit else {
            throw PlatformFault(.invalidValue, "The Idempotency-Key is longer than \(keyLimit) bytes.")
        }
        return key
    }

    /// A URL that can never be called is refused now, while somebody can still do something about it.
    private static func callback(_ request: IntakeRequest) throws(PlatformFault) -> String? {
        guard let text = request.callbackURL else { return nil }
        guard text.utf8.count <= CallbackURL.limit else {
            throw PlatformFault(.invalidValue, "The X-Callback-Url is longer than \(CallbackURL.limit) bytes.")
        }
        guard let url = CallbackURL(text) else {
            throw PlatformFault(
                .invalidValue,
                "X-Callback-Url is \"\(NameRule.printable(text))\", which cannot be called.",
                hint: "Write it as http://HOST/PATH or https://HOST/PATH."
            )
        }
        // The usual form of a name is known without being kept.
        guard let name = request.calledAs, name != request.function.name else { return url.text }
        return url.text(calledAs: name)
    }

    private static func start(_ request: IntakeRequest) throws(PlatformFault) -> NewCall.Start {
        switch (request.delay, request.runAt) {
        case (nil, nil): return .now
        case (let text?, nil):
            guard let delay = GoDuration.parse(text) else {
                throw PlatformFault(
                    .invalidValue,
                    "X-Delay is \"\(NameRule.printable(text))\", which is not a duration.",
                    hint: "Write it as 30s or 1m30s."
                )
            }
            return delay == .zero ? .now : .after(delay)
        case (nil, let text?):
            guard let moment = Timestamp(text) else {
                throw PlatformFault(
                    .invalidValue,
                    "X-Run-At is \"\(NameRule.printable(text))\", which is not a moment.",
                    hint: "Write it as 2026-01-02T15:04:05Z."
                )
            }
            return .at(moment)
        case (_?, _?):
            throw PlatformFault(.invalidValue, "X-Delay and X-Run-At contradict each other.", hint: "Send one of them.")
        }
    }
}
