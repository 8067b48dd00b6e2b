// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import NIOCore

/// When a call has to be over, and whose limit that is: the smallest of three (martlet-api "Deadlines").
struct CallDeadline {
    /// Whose limit counts.
    enum Owner {
        case none
        case request
        case function
        case gateway
    }

    private(set) var moment = NIODeadline.distantFuture
    private(set) var owner = Owner.none

    /// Takes a limit from the call's beginning on; nil is none.
    mutating func shorten(to limit: TimeAmount?, from begun: NIODeadline, by owner: Owner) {
        guard let limit else { return }
        let moment = begun + limit
        guard moment < self.moment else { return }
        self.moment = moment
        self.owner = owner
    }

    /// A stream of events has no deadline, only a limit of silence.
    mutating func lift() { moment = .distantFuture }

    /// What a call is told that began at a moment and is still without an answer.
    func sentence(_ functionName: String, begun: NIODeadline) -> String {
        "\(functionName) did not answer within \(GoDuration.format(Duration(moment - begun)))\(ownersName)."
    }

    private var ownersName: String {
        switch owner {
        case .none: ""
        case .request: ", the X-Timeout of the request"
        case .function: ", the function's exec_timeout"
        case .gateway: ", the gateway's upstream_timeout"
        }
    }
}
