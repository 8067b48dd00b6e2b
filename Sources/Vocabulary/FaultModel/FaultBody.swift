// SPDX-License-Identifier: Apache-2.0

/// How a fault looks to a client: the JSON body of Martlet's own routes.
public struct FaultBody: Sendable, Codable, Equatable {
    /// The sentence.
    public var error: String
    /// The kebab-case code.
    public var code: String
    /// `caller`, `function`, `provider` or `platform`.
    public var fault: String
    /// The next step; empty when the sentence says it.
    public var hint: String

    /// The body of a fault.
    ///
    /// Causes stay in the logs.
    public init(_ fault: PlatformFault) {
        error = fault.message
        code = fault.code.rawValue
        self.fault = fault.source.rawValue
        hint = fault.hint ?? ""
    }
}

extension PlatformFault {
    /// The fault that a JSON error body tells of, for clients of the platform.
    public init(_ body: FaultBody) {
        self.init(
            FaultCode(rawValue: body.code),
            body.error,
            hint: body.hint.isEmpty ? nil : body.hint
        )
    }

    /// The response header that marks an answer as the platform's, not the function's (contract §5.1).
    public static let internalHeader = "X-OpenFaaS-Internal"

    /// The value of `internalHeader`.
    ///
    /// `faas-middleware` for a full function, as OpenFaaS' limiter says (contract §15.6); `martlet` otherwise.
    public var internalHeaderValue: String { code == .tooManyCalls ? "faas-middleware" : "martlet" }

    /// The body for a client that does not read JSON: the sentence, the hint, one newline (contract, "`http.Error`
    /// body").
    ///
    /// Texts on which OpenFaaS clients rely are kept to the byte.
    public var textBody: String {
        if code == .unauthorized { return "invalid credentials" }
        guard let hint else { return message + "\n" }
        return "\(message) \(hint)\n"
    }

    /// The same facts as JSON, made by hand so that the engine needs no encoder.
    public var jsonBody: String {
        let body = FaultBody(self)
        let members = [("error", body.error), ("code", body.code), ("fault", body.fault), ("hint", body.hint)]
        return "{" + members.map { "\"\($0)\":\(JSONText.quoted($1))" }.joined(separator: ",") + "}\n"
    }
}
