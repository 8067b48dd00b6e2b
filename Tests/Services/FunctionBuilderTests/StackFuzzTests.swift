// SPDX-License-Identifier: Apache-2.0

import FunctionBuilder
import FunctionModel
import TestSupport
import Testing

/// Stack files that nobody should write.
struct StackFuzzTests {
    private let folder = TemporaryFolder()

    @Test func `whatever a stack file holds, it is parsed or refused`() {
        var random = SeededGenerator()
        let text = """
            version: 1.0
            provider: {name: openfaas, gateway: "http://gw:65536"}
            functions:
              api:
                image: ${REGISTRY:-local}/api:${TAG:-latest}
                environment: {NUMBER: 9223372036854775808, SMALL: -1e300, DATE: 0000-00-00, TIME: "12:60:99"}
                labels: {com.openfaas.scale.min: 0x7fffffffffffffffff}
                limits: {memory: 1e400Mi, cpu: .inf}
                readonly_root_filesystem: .nan
            """
        for number in 0..<400 {
            let mutated = String(decoding: random.mutated(Array(text.utf8)), as: UTF8.self)
            guard
                let stack = try? StackFile(
                    path: folder.write("stack.yaml", number == 0 ? text : mutated),
                    environment: [:]
                )
            else { continue }
            for function in stack.functions { _ = try? FunctionSpec(function.deployment) }
        }
    }
}
