// SPDX-License-Identifier: Apache-2.0

public import FaultModel

/// What went wrong with a question to an engine.
public enum EngineFault: Error, Sendable, Equatable {
    /// It did not answer: why, as far as it is known.
    case unreachable(String)
    /// It said no, in its own words.
    case refused(status: Int, message: String)
    /// What it said is not what its API says.
    case malformed(String)
}

extension EngineFault: CustomStringConvertible {
    /// What happened, as a sentence.
    public var description: String {
        switch self {
        case .unreachable(let why): "The Docker engine does not answer (\(why))."
        case .refused(let status, let message): "The Docker engine refused with \(status): \(message)"
        case .malformed(let what): "The Docker engine's answer cannot be understood (\(what))."
        }
    }
}

extension PlatformFault {
    /// What a fault of an engine is to who asked the platform for something.
    public init(_ fault: EngineFault) {
        switch fault {
        case .unreachable:
            self.init(
                .providerUnreachable,
                "The Docker engine does not answer.",
                hint: "Look whether it runs, and whether its socket may be used: martlet doctor",
                cause: fault
            )
        case .refused(_, let message):
            self.init(.providerFailed, "The Docker engine refused: \(message)", cause: fault)
        case .malformed:
            self.init(.providerFailed, fault.description, cause: fault)
        }
    }
}
