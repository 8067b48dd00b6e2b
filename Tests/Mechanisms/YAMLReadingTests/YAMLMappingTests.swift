// SPDX-License-Identifier: Apache-2.0

import Foundation
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

    @Test func `as texts, values are what was typed`() throws {
        let words = [
            "0755", "12:30:45", "yes", "off", "1e3", "0x1F", "2020-01-01", "1_000", "0b11", ".5", "+1", "TRUE", "1.0",
            ".inf", "007", "=", "0o17", "1.10",
        ]
        let text = words.enumerated().map { "k\($0): \($1)\nq\($0): '\($1)'\nl\($0): [\($1)]\n" }.joined()
        let tree = try #require(try YAMLMapping.readTexts(text))
        for (index, word) in words.enumerated() {
            #expect(tree["k\(index)"] as? String == word)
            #expect(tree["q\(index)"] as? String == word)
            #expect(tree["l\(index)"] as? [String] == [word])
        }
    }

    @Test func `as texts, what is left empty is nothing, and what is quoted is not`() throws {
        let text = "a:\nb: ~\nc: null\nd: ''\ne: 'null'\nf: \"~\"\ng: !!int 08\n"
        let tree = try #require(try YAMLMapping.readTexts(text))
        #expect(["a", "b", "c"].allSatisfy { tree[$0] is NSNull })
        #expect(tree["d"] as? String == "" && tree["e"] as? String == "null" && tree["f"] as? String == "~")
        #expect(tree["g"] as? String == "08")
    }

    @Test func `as texts, aliases and merge keys are followed`() throws {
        let tree = try YAMLMapping.readTexts("base: &base {a: 010}\nother:\n  <<: *base\n  b: no\n  c: *base\n")
        let other = try #require(tree?["other"] as? [String: Any])
        #expect(other["a"] as? String == "010" && other["b"] as? String == "no")
        #expect(other["c"] as? [String: String] == ["a": "010"])
    }

    @Test func `aliases and merge keys are followed`() throws {
        let tree = try YAMLMapping.read("base: &base {a: 1}\nother:\n  <<: *base\n  b: 2\n")
        #expect(tree?["other"] as? [String: Int] == ["a": 1, "b": 2])
    }

    @Test(arguments: ["", "# nothing", "---", "~", "null"])
    func `a text with nothing in it gives no mapping`(text: String) throws {
        #expect(try YAMLMapping.read(text) == nil && YAMLMapping.readTexts(text) == nil)
    }

    @Test(arguments: ["[a, b]", "- a: 1", "word", "12", "''"])
    func `a text with something else than a mapping is a problem`(text: String) {
        #expect(throws: YAMLMapping.Problem.self) { try YAMLMapping.read(text) }
        #expect(throws: YAMLMapping.Problem.self) { try YAMLMapping.readTexts(text) }
    }

    @Test(arguments: [
        "a: 1\n[b]: c\n", "a: 1\n{b: c}: d\n", "a: 1\n? - b\n: c\n", "a:\n  - {[b]: c}\n", "a: !!set\n  ? [b]\n",
        "k: &k [b]\n*k : c\n",
    ])
    func `a key that is no text is told with its line`(text: String) {
        let problem = #expect(throws: YAMLMapping.Problem.self) { try YAMLMapping.read(text) }
        #expect("\(problem!)".hasPrefix("the key in line "))
    }

    @Test(arguments: [
        ("port: 1\nurl: nats://u:secret@h:4222\nport: 2\n", "the key \"port\" is there twice"),
        ("nats://u:secret@h: 1\nnats://u:secret@h: 2\n", "a key is there twice"),
        ("a: 1\nurl: \"nats://u:secret@h\n", "line "), ("url: nats://u:secret@h:4222: x\n", "line 1, "),
        ("url: nats://u:secret@h\n\tb: 1\n", "line "),
    ])
    func `what is no YAML is told without what stands there`(text: String, beginning: String) {
        let problem = #expect(throws: YAMLMapping.Problem.self) { try YAMLMapping.readTexts(text) }
        let words = "\(problem!)"
        #expect(words.hasPrefix(beginning) && !words.contains("secret") && !words.contains("\n"), "\(words)")
    }

    @Test func `what is no YAML is told with its place`() {
        let problem = #expect(throws: YAMLMapping.Problem.self) { try YAMLMapping.read("a: [1\nb: 2\n") }
        #expect("\(problem!)".contains("line") || "\(problem!)".contains("2:"))
    }
}
