// SPDX-License-Identifier: Apache-2.0

import FaultModel
public import FunctionModel

/// What a function's own deployment asks of its calls: their methods, and for now that everybody may make them.
public struct PolicyHook: AdmissionHook {
    private let access: AccessMode
    /// In the order of `Allow`; nil means any.
    private let methods: [String]?

    /// Nil for a function that everybody may call by any method.
    public init?(_ policy: CallPolicy) {
        guard policy.access != .public || policy.methods != nil else { return nil }
        access = policy.access
        methods = policy.methods.map(Self.allowed)
    }

    /// What may be read by GET may be asked about by HEAD (RFC 9110 §9.1).
    private static func allowed(_ methods: [String]) -> [String] {
        Set(methods.contains("GET") ? methods + ["HEAD"] : methods).sorted()
    }

    /// 403 for a function that is not for everybody, 405 for a method that is not among its own.
    public func refusal(of call: AdmissionQuestion) -> AdmissionRefusal? {
        guard access == .public else {
            return AdmissionRefusal(
                PlatformFault(
                    .forbidden,
                    "This function is not open to everybody, and Martlet cannot tell who calls.",
                    hint: "Its access mode is \(access.rawValue); deploy it with public to open it."
                )
            )
        }
        guard let methods, !methods.contains(call.method) else { return nil }
        let list = methods.joined(separator: ", ")
        return AdmissionRefusal(
            PlatformFault(
                .methodNotAllowed,
                "This function is not called with \(call.method)\(call.isAsynchronous ? ", as calls for later are" : "").",
                hint: methods.isEmpty ? nil : "Use \(list)."
            ),
            fields: [("Allow", list)]
        )
    }
}
