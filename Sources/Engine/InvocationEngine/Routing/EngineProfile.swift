// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel

/// What an engine stands in front of: all in which a gateway and a watchdog differ.
public struct EngineProfile: Sendable {
    /// How a request's path leads to a function.
    let addressing: Addressing
    /// Whether a call gets its id, its time, its trace and its way here (contract §5.1), in place of what a client claims of
    /// them; else they pass as they came.
    let identifiesCalls: Bool
    /// Whether those that read faults know which function it is, and the command that shows its log.
    let namesFunctions: Bool
    /// How faults are told.
    let faults: FaultForm

    /// How a request's path leads to a function.
    enum Addressing {
        /// By the name in it: `/function/NAME`.
        case byName
        /// Every path is the one function's.
        case single
    }

    /// Many functions, each behind `/function/NAME`.
    public static let gateway = EngineProfile(
        addressing: .byName,
        identifiesCalls: true,
        namesFunctions: true,
        faults: FaultForm(speaksJSON: true, tellsWhenToRetry: true, component: nil, status: \.status)
    )

    /// One function behind every path, in a container of its own: messages pass as they came (contract §15.4).
    public static let watchdog = EngineProfile(
        addressing: .single,
        identifiesCalls: false,
        namesFunctions: false,
        faults: FaultForm(
            speaksJSON: false,
            tellsWhenToRetry: false,
            component: "of-watchdog",
            status: \.watchdogStatus
        )
    )

    /// A function's name in sentences.
    func name(of entry: FunctionEntry?) -> String {
        namesFunctions ? entry?.name ?? "the function" : "the function"
    }

    /// What helps when a function misbehaves; in a container the log is where it always is.
    func logHint(for entry: FunctionEntry?) -> String? {
        namesFunctions ? "Its log may say why: martlet logs \(name(of: entry))" : nil
    }

    /// The addresses of a function.
    ///
    /// OpenFaaS' own default suffix leads to the default namespace, whatever it is called (contract §25.8).
    func addresses(of id: FunctionID, defaultNamespace: String) -> [String] {
        guard addressing == .byName else { return [id.description, id.name] }
        guard id.namespace == defaultNamespace else { return [id.description] }
        return [id.description, id.name, "\(id.name).\(NameRule.defaultNamespace)"]
    }
}

/// How faults are told to clients.
struct FaultForm: Sendable {
    /// Whether clients that accept JSON get it; OpenFaaS' watchdog speaks text alone.
    let speaksJSON: Bool
    /// Whether a call that found its function full is told when to try again.
    let tellsWhenToRetry: Bool
    /// What `X-OpenFaaS-Internal` says; nil for what belongs to the fault.
    let component: String?
    /// The column of the fault table that the status stands in.
    let status: @Sendable (FaultTable.Row) -> Int

    /// What `X-OpenFaaS-Internal` says of a fault; OpenFaaS' limiter is the same in both (contract §15.6).
    func component(of fault: PlatformFault) -> String {
        fault.code == .tooManyCalls ? fault.internalHeaderValue : component ?? fault.internalHeaderValue
    }

    /// The media type of a fault's text, as OpenFaaS' parts have it.
    func textType(of fault: PlatformFault) -> String {
        fault.code == .tooManyCalls ? "text/plain" : "text/plain; charset=utf-8"
    }
}
