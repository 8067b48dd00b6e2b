// SPDX-License-Identifier: Apache-2.0

/// The kind of a fault, in kebab case as it appears in the `code` of a JSON error body.
///
/// A struct, not an enumeration, so that codes can be added without breaking whoever switches over them.
public struct FaultCode: RawRepresentable, Hashable, Sendable, Codable {
    /// The kebab-case word.
    public let rawValue: String

    /// Makes a code; prefer the named ones.
    public init(rawValue: String) { self.rawValue = rawValue }
}

/// The caller's mistakes.
extension FaultCode {
    /// A body is not JSON, or a member has the wrong type.
    public static let malformedBody = FaultCode(rawValue: "malformed-body")
    /// The HTTP message itself breaks the protocol.
    public static let malformedRequest = FaultCode(rawValue: "malformed-request")
    /// A value breaks a rule: a name, a number, a label, a query parameter.
    public static let invalidValue = FaultCode(rawValue: "invalid-value")
    /// Credentials are missing or wrong.
    public static let unauthorized = FaultCode(rawValue: "unauthorized")
    /// Known, or of no matter, who asks: this may not be done, or not in this way.
    public static let forbidden = FaultCode(rawValue: "forbidden")
    /// The request was meant for another server: its `Host` is no name of this one.
    public static let misdirected = FaultCode(rawValue: "misdirected")
    /// The function does not exist.
    public static let functionNotFound = FaultCode(rawValue: "function-not-found")
    /// The image is neither in the local store nor `host`.
    public static let imageNotFound = FaultCode(rawValue: "image-not-found")
    /// A secret that a deployment names does not exist.
    public static let secretMissing = FaultCode(rawValue: "secret-missing")
    /// The namespace that a deployment or query names does not exist.
    public static let namespaceMissing = FaultCode(rawValue: "namespace-missing")
    /// The secret, namespace, bundle or route that is asked for does not exist.
    public static let notFound = FaultCode(rawValue: "not-found")
    /// The thing to be made exists already.
    public static let alreadyExists = FaultCode(rawValue: "already-exists")
    /// The change contradicts something that exists: a port, a use, a state.
    public static let conflict = FaultCode(rawValue: "conflict")
    /// It was there, and is not kept any more.
    public static let gone = FaultCode(rawValue: "gone")
    /// The method is not one of the route's.
    public static let methodNotAllowed = FaultCode(rawValue: "method-not-allowed")
    /// A body is larger than its limit.
    public static let bodyTooLarge = FaultCode(rawValue: "body-too-large")
    /// The first line of a request alone is larger than the limit of its head.
    public static let targetTooLong = FaultCode(rawValue: "target-too-long")
    /// The head of a request is larger than its limit.
    public static let headTooLarge = FaultCode(rawValue: "head-too-large")
    /// A version of HTTP that is not spoken here.
    public static let versionNotSupported = FaultCode(rawValue: "version-not-supported")
    /// The client was too slow in sending its request.
    public static let requestTimeout = FaultCode(rawValue: "request-timeout")
    /// An `Expect` other than `100-continue`.
    public static let expectationFailed = FaultCode(rawValue: "expectation-failed")
    /// The function is at its limit of concurrent calls and the queue for places is full.
    public static let tooManyCalls = FaultCode(rawValue: "too-many-calls")
    /// The provider does not offer what was asked for.
    public static let notSupported = FaultCode(rawValue: "not-supported")
    /// Bad use of the command line.
    public static let badUsage = FaultCode(rawValue: "bad-usage")
    /// Settings that cannot be started with.
    public static let badSettings = FaultCode(rawValue: "bad-settings")
}

/// What the function did.
extension FaultCode {
    /// The function did not answer within its deadline.
    public static let deadlineExceeded = FaultCode(rawValue: "deadline-exceeded")
    /// No replica became ready within the call's deadline.
    public static let functionNotReady = FaultCode(rawValue: "function-not-ready")
    /// The function's port refused or dropped the connection before an answer.
    public static let functionUnreachable = FaultCode(rawValue: "function-unreachable")
    /// The function's answer breaks the protocol.
    public static let functionBadAnswer = FaultCode(rawValue: "function-bad-answer")
    /// The function's process could not be started or ended with a failure.
    public static let processFailed = FaultCode(rawValue: "process-failed")
}

/// What a provider or the platform did.
extension FaultCode {
    /// The provider cannot be reached.
    public static let providerUnreachable = FaultCode(rawValue: "provider-unreachable")
    /// The provider answered with a failure that it did not explain.
    public static let providerFailed = FaultCode(rawValue: "provider-failed")
    /// Prometheus did not answer, or refused what it was asked.
    public static let prometheusFailed = FaultCode(rawValue: "prometheus-failed")
    /// The data directory cannot be written or read.
    public static let storageUnavailable = FaultCode(rawValue: "storage-unavailable")
    /// The platform holds as much as it may for others: bodies, or calls that wait.
    public static let overloaded = FaultCode(rawValue: "overloaded")
    /// The platform is stopping, or whoever asked waits no more.
    public static let shuttingDown = FaultCode(rawValue: "shutting-down")
    /// Something that we did not foresee.
    public static let internalError = FaultCode(rawValue: "internal-error")
}
