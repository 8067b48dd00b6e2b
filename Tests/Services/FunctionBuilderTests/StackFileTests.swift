// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
import FunctionBuilder
import FunctionModel
import ProcessControl
import TestSupport
import Testing

struct StackFileTests {
    private let folder = TemporaryFolder()

    private func stack(_ text: String, _ environment: [String: String] = [:]) throws -> StackFile {
        try StackFile(path: folder.write("stack.yaml", text), environment: environment)
    }

    @Test func `a stack file made for OpenFaaS is read whole`() throws {
        folder.write("vars.yml", "environment:\n  FROM_FILE: yes-it-is\n  LEVEL: file\n")
        let stack = try stack(
            """
            version: 1.0
            provider:
              name: openfaas
              gateway: http://gw:8080
            functions:
              api:
                lang: python3
                handler: ./api
                image: ${REGISTRY:-local}/api:${TAG:-latest}
                namespace: team
                environment_file: [vars.yml]
                environment:
                  LEVEL: own
                  NUMBER: 5
                  FLAG: true
                labels: {com.openfaas.scale.min: 2}
                annotations: {topic: "a,b"}
                secrets: [key]
                limits: {memory: 64Mi, cpu: 100m}
                readonly_root_filesystem: true
                colour: blue
            """,
            ["TAG": "7"]
        )
        let function = try #require(stack.functions.first)
        #expect(stack.gateway == "http://gw:8080")
        #expect(function.deployment.image == "local/api:7")
        #expect(function.handler == folder.path + "/api")
        #expect(function.deployment.namespace == "team")
        #expect(
            function.deployment.envVars == ["FROM_FILE": "yes-it-is", "LEVEL": "file", "NUMBER": "5", "FLAG": "true"]
        )
        #expect(function.deployment.labels == ["com.openfaas.scale.min": "2"])
        #expect(function.deployment.limits?.memory == "64Mi")
        #expect(function.deployment.readOnlyRootFilesystem == true)
        #expect(stack.warnings.contains { $0.contains("colour") })
    }

    @Test(arguments: [
        ("functions: {Bad_Name: {image: x}}", "Bad_Name"), ("functions: {a: {secrets: {x: y}}}", "a.secrets"),
        ("functions: {a: 5}", "a:"), ("- 1", "functions"), ("a: [", "YAML"),
        ("version: 9\nfunctions: {a: {image: x}}", "version 9"),
        ("functions: {a: {environment_file: [none.yml]}}", "none.yml"),
        ("functions: {a: {skip_build: maybe}}", "skip_build"),
        ("functions: {a: {environment: {KEY: [x]}}}", "a.environment.KEY"),
        ("functions: {a: {secrets: [{x: y}]}}", "a.secrets"),
    ])
    func `what is wrong is named`(text: String, word: String) {
        let fault = #expect(throws: PlatformFault.self) { try stack(text) }
        #expect(fault?.message.contains(word) == true, "\(fault?.message ?? "")")
    }

    /// What YAML 1.1 takes for numbers, truths and dates.
    private static let words = [
        "0755", "12:30:45", "yes", "1e3", "0x1F", "2020-01-01", "off", "1.10", "1_000", "0o17", "NO", ".5", "+1",
    ]

    @Test(arguments: words)
    func `the text of the source is the value, wherever it stands`(word: String) throws {
        folder.write("more.yml", "environment: {FILE: \(word)}\n")
        let function = try #require(
            try stack(
                """
                functions:
                  a:
                    image: \(word)
                    fprocess: \(word)
                    environment: {OWN: \(word), QUOTED: "\(word)"}
                    environment_file: more.yml
                    labels: {label: \(word)}
                    annotations: {annotation: \(word)}
                    secrets: [\(word)]
                    constraints: [\(word)]
                    limits: {memory: \(word), cpu: \(word)}
                """
            ).functions.first
        ).deployment
        #expect(function.envVars == ["OWN": word, "QUOTED": word, "FILE": word])
        #expect(function.image == word && function.envProcess == word)
        #expect(function.labels == ["label": word] && function.annotations == ["annotation": word])
        #expect(function.secrets == [word] && function.constraints == [word])
        #expect(function.limits?.memory == word && function.limits?.cpu == word)
    }

    @Test func `files of variables win over what stands beside them, later ones over earlier ones`() throws {
        folder.write("one.yml", "environment: {secret_key: dogfight, ONE: 1, EMPTY: }\n")
        folder.write("two.yml", "environment: {ONE: 2}\n")
        let text = """
            functions:
              a: {image: x, environment: {secret_key: lolz, OWN: x}, environment_file: [one.yml, two.yml]}
            """
        #expect(
            try stack(text).functions.first?.deployment.envVars
                == ["secret_key": "dogfight", "ONE": "2", "OWN": "x", "EMPTY": ""]
        )
    }

    @Test func `a variable of several lines keeps them, and cannot become other keys of the file`() throws {
        let text = """
            functions:
              a:
                image: x
                environment: {PLAIN: before ${LINES} after, DOUBLE: "${LINES}"}
                annotations:
                  block: |
                    ${LINES}
                labels: {"${LINES}": x, word: ${WORD}}
            """
        let lines = "-----BEGIN-----\n  a: \"b\" # c\r\n    secrets: [stolen]\n-----END-----"
        let stack = try stack(text, ["LINES": lines, "WORD": "plain"])
        let function = try #require(stack.functions.first).deployment
        #expect(function.envVars?["PLAIN"] == "before \(lines) after" && function.envVars?["DOUBLE"] == lines)
        #expect(function.annotations == ["block": lines + "\n"])
        #expect(function.labels == [lines: "x", "word": "plain"])
        #expect(function.secrets == nil)
    }

    @Test func `functions are chosen by wildcard and by expression`() throws {
        let stack = try stack("functions: {api-a: {image: x}, api-b: {image: x}, web: {image: x}}")
        #expect(try stack.functions(filter: "api-*", regex: nil).map(\.name) == ["api-a", "api-b"])
        #expect(try stack.functions(filter: "*b", regex: nil).map(\.name) == ["api-b", "web"])
        #expect(try stack.functions(filter: nil, regex: "^w").map(\.name) == ["web"])
        #expect(throws: PlatformFault.self) { try stack.functions(filter: nil, regex: "(") }
    }

    @Test func `a missing file says what to do`() {
        let fault = #expect(throws: PlatformFault.self) { try StackFile(path: "/no/stack.yaml", environment: [:]) }
        #expect(fault?.hint?.contains("martlet new") == true)
    }
}

struct BundleTests {
    private let folder = TemporaryFolder()

    @Test(arguments: ["python3", "node", "bash"])
    func `a new function can be built at once, and tar reads what comes out`(language: String) async throws {
        try FunctionScaffold(folder: folder.path).make("hello", language: language, file: "stack.yaml")
        let stack = try StackFile(path: folder.path + "/stack.yaml", environment: [:])
        let function = try #require(stack.functions.first)
        let built: BundleBuilder.Built?
        do { built = try await BundleBuilder(folder: folder.path).build(function) } catch {
            // A machine without the language gets a sentence, and nothing else is to be seen here.
            #expect(error.message.contains(language == "python3" ? "python3" : language))
            return
        }
        let archive = try #require(built).archive
        let file = folder.path + "/bundle.tar"
        try archive.write(to: URL(fileURLWithPath: file))
        let tar = try await ProgramRun.run(["/bin/tar", "tf", file], environment: [:], in: "/")
        #expect(tar.isSuccess)
        let names = tar.output
        #expect(names.contains("bundle.json") && names.contains("function/handler."), "\(names)")
        #expect(try await BundleBuilder(folder: folder.path).build(function)?.archive == archive, "not the same twice")
    }

    @Test func `nothing that exists is overwritten`() throws {
        let scaffold = FunctionScaffold(folder: folder.path)
        try scaffold.make("hello", language: "bash", file: "stack.yaml")
        #expect(throws: PlatformFault.self) { try scaffold.make("hello", language: "bash", file: "stack.yaml") }
        try scaffold.make("other", language: "bash", file: "stack.yaml")
        #expect(try StackFile(path: folder.path + "/stack.yaml", environment: [:]).functions.count == 2)
    }

    @Test func `a stack file that cannot be read as text is not overwritten`() throws {
        let file = URL(fileURLWithPath: folder.path + "/stack.yaml")
        let latin = Data("functions: # f\u{FC}r uns\n".unicodeScalars.map { UInt8($0.value) })
        try latin.write(to: file)
        let fault = #expect(throws: PlatformFault.self) {
            try FunctionScaffold(folder: folder.path).make("hello", language: "bash", file: "stack.yaml")
        }
        #expect(fault?.message.contains("stack.yaml") == true)
        #expect(try Data(contentsOf: file) == latin)
        #expect(!FileManager.default.fileExists(atPath: folder.path + "/hello"))
    }

    @Test func `an unknown template names those that there are`() {
        let fault = #expect(throws: PlatformFault.self) { try TemplateLibrary(folder: folder.path).template("cobol") }
        #expect(fault?.hint?.contains("python3") == true)
    }

    @Test func `a template for containers alone is refused with what to add`() {
        folder.write("template/go/template.yml", "language: go\n")
        let fault = #expect(throws: PlatformFault.self) { try TemplateLibrary(folder: folder.path).template("go") }
        #expect(fault?.hint?.contains("fprocess") == true)
    }
}

struct StackFileFuzzTests {
    private static let stack = """
        version: 1.0
        provider: {name: openfaas, gateway: "http://127.0.0.1:8080"}
        functions:
          a:
            lang: python3
            handler: ./a
            image: "${REG:-x}/a:1"
            environment: {KEY: value, NUMBER: 1}
            environment_file: [env.yml]
            labels: {com.openfaas.scale.min: "1"}
            limits: {memory: 128Mi, cpu: 100m}
            secrets: [one]
          b: {image: host, fprocess: cat, skip_build: true}
        """

    @Test func `no stack file ends the program, and what is wrong is a fault`() throws {
        var random = SeededGenerator()
        let folder = TemporaryFolder()
        folder.write("env.yml", "environment:\n  FROM_FILE: 1\n")
        for _ in 0..<1500 {
            let text = String(decoding: random.mutated(Array(Self.stack.utf8)), as: UTF8.self)
            let path = folder.write("stack.yaml", text)
            do throws(PlatformFault) {
                let stack = try StackFile(path: path, environment: ["REG": "r"])
                #expect(stack.functions.allSatisfy { !$0.name.isEmpty }, "\(random) \(text)")
            } catch {
                #expect(!error.message.isEmpty, "\(random)")
            }
        }
    }
}
