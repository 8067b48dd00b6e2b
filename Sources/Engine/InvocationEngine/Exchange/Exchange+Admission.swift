// SPDX-License-Identifier: Apache-2.0

/// Who may call.
extension Exchange {
    /// Whether a function's hook lets a call in; one that is not let in has its answer by then.
    final func isAdmitted(_ entry: FunctionEntry, _ head: RequestHead) -> Bool {
        guard let hook = entry.admission, asksAdmission else { return true }
        return isAdmitted(by: hook, head, isAsynchronous: false)
    }

    /// The same for a call that is to be carried out later, by whichever variant it falls to then: each is asked.
    final func isAdmittedForLater(_ entry: FunctionEntry, _ head: RequestHead) -> Bool {
        entry.allAdmissions.allSatisfy { isAdmitted(by: $0, head, isAsynchronous: true) }
    }

    private func isAdmitted(by hook: any AdmissionHook, _ head: RequestHead, isAsynchronous: Bool) -> Bool {
        let question = AdmissionQuestion(
            head,
            scanner.fields,
            in: headBytes,
            isAsynchronous: isAsynchronous,
            clientAddress: clientAddress
        )
        guard let refusal = hook.refusal(of: question) else { return true }
        refuse(refusal.fault, fields: refusal.fields)
        return false
    }
}
