// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
import Testing

struct FaultTests {
    @Test(arguments: FaultTable.codes)
    func `every code has a status of an error and an exit code`(code: FaultCode) {
        let row = FaultTable.row(for: code)
        #expect((400...599).contains(row.status))
        #expect([1, 64].contains(row.exitCode))
        #expect((row.source == .caller) == ((400..<500).contains(row.status) || [501, 505].contains(row.status)))
    }

    @Test func `an unknown code is an internal error`() {
        #expect(FaultTable.row(for: FaultCode(rawValue: "never-heard-of")).status == 500)
    }

    @Test func `a JSON body survives every character`() throws {
        let fault = PlatformFault(.invalidValue, "a \"quote\", a \\, a\nline, a \u{1} and ü", hint: "next\tstep")
        let body = try JSONDecoder().decode(FaultBody.self, from: Data(fault.jsonBody.utf8))
        #expect(body == FaultBody(fault))
        #expect(PlatformFault(body).message == fault.message)
    }

    @Test func `the cause never reaches a client`() {
        let secret = PlatformFault(.internalError, "It failed.", cause: PlatformFault(.internalError, "/root/secret"))
        #expect(!secret.jsonBody.contains("/root"))
        #expect(!secret.textBody.contains("/root"))
        #expect(secret.description.contains("/root"))
    }

    @Test func `the text of bad credentials is OpenFaaS' own (§2.1)`() {
        #expect(PlatformFault(.unauthorized, "anything", hint: "else").textBody == "invalid credentials")
    }
}
