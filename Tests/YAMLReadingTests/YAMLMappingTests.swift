// SPDX-License-Identifier: Apache-2.0

import Testing
import YAMLReading

struct YAMLMappingTests {
    @Test func `a mapping is read with its values' types`() throws {
        let tree = try #require(try YAMLMapping.read("name: a\nnumber: 5\nlist: [x, y]\ninner: {flag: true, 7: z}\n"))
        #expect(tree["name"] as? String == "a")
        #expect(tree["number"] as? Int == 5)
        #expect(tree["list"] as? [String] == ["x", "y"])
        let inner = try #require(tree["inner"] as? [String: Any])
        #expect(inner["flag"] as? Bool == true)
        #expect(inner["7"] as? String == "z")
    }

    @Test func `aliases and merge keys are followed`() throws {
        let tree = try YAMLMapping.read("base: &base {a: 1}\nother:\n  <<: *base\n  b: 2\n")
        #expect(tree?["other"] as? [String: Int] == ["a": 1, "b": 2])
    }

    @Test(arguments: ["", "# nothing", "[a, b]", "word"])
    func `a text without a mapping gives none`(text: String) throws {
        #expect(try YAMLMapping.read(text) == nil)
    }

    @Test(arguments: [
        "a: 1\n[b]: c\n", "a: 1\n{b: c}: d\n", "a: 1\n? - b\n: c\n", "a:\n  - {[b]: c}\n", "a: !!set\n  ? [b]\n",
        "k: &k [b]\n*k : c\n",
    ])
    func `a key that is no text is told with its line`(text: String) {
        let problem = #expect(throws: YAMLMapping.Problem.self) { try YAMLMapping.read(text) }
        #expect("\(problem!)".hasPrefix("the key in line "))
    }

    @Test func `what is no YAML is told with its place`() {
        let problem = #expect(throws: YAMLMapping.Problem.self) { try YAMLMapping.read("a: [1\nb: 2\n") }
        #expect("\(problem!)".contains("line") || "\(problem!)".contains("2:"))
    }
}
