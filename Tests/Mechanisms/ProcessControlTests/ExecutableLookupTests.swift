// SPDX-License-Identifier: Apache-2.0

import ProcessControl
import TestSupport
import Testing

struct ExecutableLookupTests {
    private let folder = TemporaryFolder()

    @Test func `what is relative is meant from where the program starts`() throws {
        let tool = folder.write("tools/hello", "#!/bin/sh\n", isExecutable: true)
        func find(_ program: String, _ path: String) throws -> String {
            try ExecutableLookup.find(program, path: path, in: folder.path)
        }
        #expect(try find("hello", "/nowhere:tools:/bin") == tool)
        #expect(try find("tools/hello", "") == tool)
        #expect(try find(tool, "") == tool)
        #expect(throws: SpawnError.self) { try find("hello", "/nowhere:/bin") }
        #expect(throws: SpawnError.self) { try find("hello", "") }
    }
}
