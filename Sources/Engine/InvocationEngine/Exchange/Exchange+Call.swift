// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import NIOCore

/// Beginning a call: its function, who lets it in, its limits, its body.
extension Exchange {
    /// Begins a request; its head is there.
    final func begin(at moment: NIODeadline) {
        state.begin()
        facts = CallFacts()
        facts.begun = moment
        isCall = false
        answerBytes = 0
    }

    /// Calls the function whose address is there in the head; `callID` is the call's where it has one already.
    final func invoke(_ name: Range<Int>, _ rest: Range<Int>, callID: CallID? = nil) {
        guard let head = beginCall(callID) else { return }
        guard let entry = entry(name) else { return refuse(unknownFunction(name)) }
        invoke(entry, rest, head)
    }

    /// Calls a function by its address.
    final func invoke(_ address: String, _ rest: Range<Int>) {
        guard let head = beginCall() else { return }
        guard let entry = calls.functions.entry(address) else { return refuse(unknownFunction(address)) }
        invoke(entry, rest, head)
    }

    /// Calls the function that has a further path for this one; false where none has.
    final func invokeByPath() -> Bool {
        guard calls.functions.hasPaths, let head else { return false }
        let found = headBytes.withUnsafeReadableBytes { bytes -> (FunctionEntry, Range<Int>)? in
            let path = UnsafeRawBufferPointer(rebasing: bytes[head.target.lowerBound..<head.pathEnd])
            let extra = Destination.extraSlashes(path)
            let sought = UnsafeRawBufferPointer(rebasing: path[extra...])
            guard let (entry, length) = calls.functions.entry(atPath: sought) else { return nil }
            return (entry, head.target.lowerBound + extra + length..<head.target.upperBound)
        }
        guard let (entry, rest) = found, let head = beginCall() else { return false }
        if let refusal = refusal(of: head, rest) {
            refuse(refusal.fault, fields: refusal.fields)
        } else {
            invoke(entry, rest, head)
        }
        return true
    }

    /// Why a function is not called, whatever it is.
    final func refusal(of head: RequestHead, _ rest: Range<Int>) -> Destination.Refusal? {
        headBytes.withUnsafeReadableBytes { bytes in
            Destination.refusal(of: head, UnsafeRawBufferPointer(rebasing: bytes[rest.lowerBound..<head.pathEnd]))
        }
    }

    private func invoke(_ entry: FunctionEntry, _ rest: Range<Int>, _ head: RequestHead) {
        if entry.isSplit {
            start(entry.drawn(loopContext.nextRandom()), rest, head)
        } else {
            start(entry, rest, head)
        }
    }

    private func start(_ entry: FunctionEntry, _ rest: Range<Int>, _ head: RequestHead) {
        if entry.isGuarded, !isAdmitted(entry, head) { return }
        self.entry = entry
        self.rest = rest
        entry.counters.start()
        if calls.withholdsLogin { withholdLogin() }
        do throws(PlatformFault) {
            try takeLimits(of: entry, head)
        } catch {
            return refuse(error)
        }
        armTimer()
        // Before a slot is taken: a slow client costs the function nothing.
        if entry.policy.buffersRequestBody, !hasSentBody { return collectBody(head) }
        takeSlot(entry)
    }

    final var bodyTooLarge: PlatformFault {
        PlatformFault(
            .bodyTooLarge,
            "The request's body is larger than the limit of \(loopContext.limits.bodyBytes ?? 0) bytes."
        )
    }

    // MARK: The function

    /// The function whose address is there in the head.
    final func entry(_ name: Range<Int>) -> FunctionEntry? {
        headBytes.withUnsafeReadableBytes { calls.functions.entry(UnsafeRawBufferPointer(rebasing: $0[name])) }
    }

    final func unknownFunction(_ name: Range<Int>) -> PlatformFault {
        unknownFunction(headBytes.getString(at: headBytes.readerIndex + name.lowerBound, length: name.count) ?? "")
    }

    private func unknownFunction(_ address: String) -> PlatformFault {
        guard calls.functions.hasSnapshot else { return Self.functionsUnknown }
        return PlatformFault(
            .functionNotFound,
            "error finding function \(calls.functions.identity(address)?.description ?? address): there is no such "
                + "function.",
            hint: "List the functions there are: martlet list"
        )
    }

    private static let functionsUnknown = PlatformFault(
        .providerUnreachable,
        "It is not known yet which functions there are: the provider has not told.",
        hint: "Look whether the provider runs, and try again.",
        retryAfterSeconds: 2
    )

    // MARK: What is known of the call

    /// Notes what is known of a call before its function is looked for.
    final func beginCall(_ callID: CallID? = nil) -> RequestHead? {
        guard let head else { return nil }
        isCall = true
        takeCallFacts(head, callID)
        return head
    }

    /// Notes the call's id, the client's or a fresh one, and its start.
    private func takeCallFacts(_ head: RequestHead, _ callID: CallID?) {
        facts.trace = head.traceParent.map { .client($0) } ?? .none
        // Elsewhere what the gateway wrote is passed on.
        guard profile.identifiesCalls else { return }
        if head.traceParent == nil {
            facts.trace = .new(loopContext.nextRandom(), loopContext.nextRandom(), loopContext.nextRandom() | 1)
        }
        facts.startTime = loopContext.nanosecondsSinceEpoch
        if let callID {
            facts.callID = callID
            return
        }
        let own = head.callID.flatMap { headBytes.getSlice(at: $0.lowerBound, length: $0.count) }
        facts.callID = own.map { .client($0) } ?? .made(loopContext.nextRandom(), loopContext.nextRandom())
    }

    /// Has a login that is for this hop alone end here.
    private func withholdLogin() {
        guard let isOurs = calls.isOwnLogin else { return }
        headBytes.withUnsafeReadableBytes { scanner.markLogins(in: $0, where: isOurs) }
    }
}
