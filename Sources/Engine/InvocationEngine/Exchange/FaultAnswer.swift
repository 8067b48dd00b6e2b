// SPDX-License-Identifier: Apache-2.0

import FaultModel
import NIOCore

/// A fault as an answer tells it.
struct FaultAnswer {
    /// The body.
    let text: String
    private let fault: PlatformFault
    private let form: FaultForm
    private let isJSON: Bool
    private let further: [(name: StaticString, value: String)]

    /// What an exchange tells of a fault; `further` fields are told besides.
    init(_ fault: PlatformFault, further: [(name: StaticString, value: String)], of exchange: Exchange) {
        self.fault = fault
        self.further = further
        form = exchange.profile.faults
        isJSON = form.speaksJSON && exchange.head?.acceptsJSON == true
        text = isJSON ? fault.jsonBody : fault.textBody
    }

    /// Writes its lines, framing left out.
    func writeFields(to out: inout ByteBuffer) {
        out.writeField("Content-Type", isJSON ? "application/json" : form.textType(of: fault))
        out.writeStaticString("X-Content-Type-Options: nosniff\r\n")
        out.writeField("X-OpenFaaS-Internal", form.component(of: fault))
        for (name, value) in further { out.writeField(name, value) }
        if let seconds = fault.retryAfterSeconds { out.writeField("Retry-After", String(seconds)) }
    }
}
