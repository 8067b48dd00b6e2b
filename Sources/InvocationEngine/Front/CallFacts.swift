// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// What the platform adds to a call and to its answer (contract §5.1).
struct CallFacts {
    /// `X-Call-Id`: the client's, or a fresh one.
    var callID = ByteBuffer()
    /// `X-Start-Time`: nanoseconds since 1970.
    var startTime: UInt64 = 0
    /// The trace that the call is part of.
    var trace = TraceContext.none
    /// When the call began, for durations.
    var begun = NIODeadline.uptimeNanoseconds(0)
    /// When it has to be over.
    var deadline = NIODeadline.distantFuture
    /// Whose limit the deadline is.
    var limit = DeadlineLimit.none
}

/// Whose limit a call's deadline is: the smallest of three (martlet-api "Deadlines").
enum DeadlineLimit {
    case none
    case request(Duration)
    case function(Duration)
    case gateway(Duration)
}
