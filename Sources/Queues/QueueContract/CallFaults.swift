// SPDX-License-Identifier: Apache-2.0

package import FaultModel
import FunctionModel

/// What queues refuse, in the same words whatever keeps the calls.
extension PlatformFault {
    package static func unknownCall(_ id: String) -> PlatformFault {
        PlatformFault(
            .notFound,
            "There is no call \(NameRule.printable(id)).",
            hint: "List the calls there are: martlet calls list"
        )
    }

    package static func callNotOver(_ id: String) -> PlatformFault {
        PlatformFault(.conflict, "The call \(NameRule.printable(id)) is not over yet.")
    }

    package static func callIsOver(_ id: String, _ state: CallState) -> PlatformFault {
        PlatformFault(.conflict, "The call \(NameRule.printable(id)) is over: it is \(state.rawValue).")
    }

    package static func callNotMovable(_ id: String, _ state: CallState) -> PlatformFault {
        PlatformFault(
            .conflict,
            "The call \(NameRule.printable(id)) is \(state.rawValue); only waiting and dead calls are exported.",
            hint: state == .running ? "It ends here; if it has to be tried again, export once more." : nil
        )
    }

    package static func callNotHandedOver(_ id: String, _ state: CallState) -> PlatformFault {
        PlatformFault(
            .conflict,
            "The call \(NameRule.printable(id)) is \(state.rawValue), and was not taken out of the queue by an export."
        )
    }

    package static func resultGone(_ id: String) -> PlatformFault {
        PlatformFault(
            .gone,
            "The result of the call \(NameRule.printable(id)) is not kept any more, or there was none."
        )
    }

    package static func requestGone(_ id: String) -> PlatformFault {
        PlatformFault(.gone, "The request of the call \(NameRule.printable(id)) is not kept any more.")
    }

    package static func badCursor(_ text: String) -> PlatformFault {
        PlatformFault(
            .invalidValue,
            "The cursor \"\(NameRule.printable(text))\" is none.",
            hint: "Use what \"next\" of the page before says."
        )
    }

    package static func callsNotOver(_ state: CallState) -> PlatformFault {
        PlatformFault(
            .invalidValue,
            "Calls that are \(state.rawValue) are not over, so they cannot be forgotten.",
            hint: "Cancel them first."
        )
    }

    package static func callTooLarge(limit: Int) -> PlatformFault {
        PlatformFault(
            .bodyTooLarge,
            "The body is larger than the limit of \(limit) bytes for asynchronous calls.",
            hint: "Raise async-body-limit, or pass a reference to the data instead."
        )
    }
}
