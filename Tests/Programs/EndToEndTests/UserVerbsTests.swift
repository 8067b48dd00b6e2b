// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionBuilder
import FunctionModel
import ProcessControl
import SystemClient
import TestSupport
import Testing

/// The user's verbs, typed as a user types them, against the real platform.
@Suite(.serialized)
struct UserVerbsTests {
    private let folder = TemporaryFolder()

    private func start() async throws -> RunningMartlet {
        try await RunningMartlet(dataDirectory: folder.path + "/data")
    }

    /// Languages that this machine has; `scripts/test` names those it has not.
    private static let languages = ["bash", "node", "python3"].filter(BundleBuilder.isInstalled)

    @Test(arguments: languages)
    func `a function is begun, built, deployed, called and removed`(language: String) async throws {
        let martlet = try await start()
        let project = folder.path
        let new = try await martlet.run("new", "mine", "--lang", language, in: project)
        #expect(new.code == 0, "\(new.error)")
        let deploy = try await martlet.run("deploy", "--build", in: project)
        #expect(deploy.code == 0 && deploy.output.contains("mine: ready at"), "\(deploy)")
        let call = try await martlet.run("invoke", "mine", input: "hi")
        #expect(call.code == 0 && call.output.hasPrefix("Hello from"), "\(call)")
        let list = try await martlet.run("list", "--output", "json")
        let entries = try JSONSerialization.jsonObject(with: Data(list.output.utf8)) as? [[String: Any]]
        #expect(entries?.first?["name"] as? String == "mine" && entries?.first?["invocationCount"] as? Double == 1)
        #expect(try await martlet.run("describe", "mine").output.contains("State         ready"))
        #expect(try await martlet.run("scale", "mine", "0").code == 0)
        #expect(try await martlet.run("ready", "mine").code == 0)
        #expect(try await martlet.run("logs", "mine", "--tail", "5").code == 0)
        let remove = try await martlet.run("remove", in: project)
        #expect(remove.code == 0 && remove.output == "mine: removed\n", "\(remove)")
        #expect(try await martlet.run("list").output.hasPrefix("No functions yet."))
        _ = await martlet.stop()
    }

    @Test(.enabled("needs pip of /usr/bin/python3: scripts/test --with-peers", UserVerbsTests.hasPip))
    func `packages that a Python function names are in its bundle`() async throws {
        let martlet = try await start()
        let wheel = folder.path + "/greetings-1.0-py3-none-any.whl"
        try await makeWheel(at: wheel)
        _ = try await martlet.run("new", "polite", "--lang", "python3", in: folder.path)
        folder.write("polite/requirements.txt", "# what it needs\n\(wheel)\n")
        folder.write(
            "polite/handler.py",
            "import greetings\ndef handle(event, context): return greetings.WORDS + '\\n'\n"
        )
        let deploy = try await martlet.run("deploy", "--build", in: folder.path)
        #expect(deploy.code == 0, "\(deploy)")
        #expect(try await martlet.call("polite").body == "Good day\n")
        folder.write("polite/requirements.txt", "./is-not-there.whl\n")
        let failure = try await martlet.run("build", in: folder.path)
        #expect(failure.code == 1 && failure.error.contains("requirements.txt"), "\(failure)")
        #expect(try await martlet.call("polite").body == "Good day\n")
        _ = await martlet.stop()
    }

    /// What `scripts/test` brings with `--with-peers`.
    static func hasPip() async -> Bool { await succeeds(["/usr/bin/python3", "-m", "pip", "--version"]) }

    private static func succeeds(_ arguments: [String]) async -> Bool {
        let run = try? await ProgramRun.run(arguments, environment: ["PATH": "/usr/bin:/bin"], in: "/")
        return run?.isSuccess ?? false
    }

    /// A package without source or network: a wheel is a zip archive with three files.
    private func makeWheel(at path: String) async throws {
        let script = """
            import sys, zipfile
            info = 'greetings-1.0.dist-info/'
            with zipfile.ZipFile(sys.argv[1], 'w') as wheel:
                wheel.writestr('greetings.py', 'WORDS = "Good day"\\n')
                wheel.writestr(info + 'METADATA', 'Metadata-Version: 2.1\\nName: greetings\\nVersion: 1.0\\n')
                wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
                wheel.writestr(info + 'RECORD', '')
            """
        try #require(await Self.succeeds(["/usr/bin/python3", "-c", script, path]))
    }

    @Test func `a login is checked, stored for faas-cli too, and forgotten`() async throws {
        let martlet = try await start()
        let home = folder.path + "/home"
        let config = home + "/.openfaas/config.yml"
        folder.write("home/.openfaas/config.yml", "auths: []\ntelemetry: false\n")
        let away = ["HOME": home, "MARTLET_DATA_DIR": home]
        let refused = try await martlet.run("list", environment: away)
        #expect(refused.code == 1 && refused.error.contains("martlet login"), "\(refused)")
        let wrong = try await martlet.run("login", "--password", "wrong", environment: away)
        #expect(wrong.code == 1 && wrong.output.isEmpty, "\(wrong)")
        let password = try String(contentsOfFile: folder.path + "/data/basic-auth-password", encoding: .utf8)
        let login = try await martlet.run("login", "--password-stdin", input: password, environment: away)
        #expect(login.code == 0, "\(login)")
        let text = try String(contentsOfFile: config, encoding: .utf8)
        #expect(text.contains("gateway: \(martlet.client.baseURL)") && text.contains("auth: basic"))
        #expect(text.contains("telemetry: false"))
        let mode = try FileManager.default.attributesOfItem(atPath: config)[.posixPermissions] as? Int
        #expect(mode == 0o600)
        #expect(try await martlet.run("list", environment: away).code == 0)
        #expect(try await martlet.run("logout", environment: away).code == 0)
        #expect(try await martlet.run("list", environment: away).code == 1)
        _ = await martlet.stop()
    }

    @Test func `secrets and namespaces are managed, and their values never printed`() async throws {
        let martlet = try await start()
        #expect(try await martlet.run("secret", "create", "key", input: "s3cret").code == 0)
        #expect(try await martlet.run("secret", "create", "key", "--from-literal", "x").code == 1)
        #expect(try await martlet.run("secret", "create", "key", "--from-literal", "x", "--replace").code == 0)
        let list = try await martlet.run("secret", "list", "--output", "json").output
        #expect(list.contains("\"name\" : \"key\"") && !list.contains("value"), "\(list)")
        #expect(try await martlet.run("secret", "remove", "key").output == "key: removed\n")
        #expect(try await martlet.run("namespace", "create", "team", "--label", "a=1").code == 0)
        #expect(try await martlet.run("namespace", "list").output == "openfaas-fn\nteam\n")
        #expect(try await martlet.run("namespace", "get", "team").output.contains("\"a\" : \"1\""))
        #expect(try await martlet.run("deploy", "env", "--image", "host", "--fprocess", "env", "-n", "team").code == 0)
        #expect(try await martlet.run("namespace", "remove", "team").code == 1)
        #expect(try await martlet.run("remove", "env", "-n", "team").code == 0)
        #expect(try await martlet.run("namespace", "remove", "team").code == 0)
        _ = await martlet.stop()
    }

    @Test func `an equal deployment is left alone, and a changed secret reaches who holds it`() async throws {
        let martlet = try await start()
        let script = folder.write("read.sh", "cat \"$secret_mount_path/key\"\n")
        #expect(try await martlet.run("secret", "create", "key", "--from-literal", "one").code == 0)
        let stack = folder.write(
            "stack.yaml",
            "version: 1.0\nprovider:\n  name: openfaas\nfunctions:\n  read:\n    image: host\n"
                + "    fprocess: sh \(script)\n    skip_build: true\n    secrets: [key]\n"
        )
        func deployed(_ flag: String = "--build") async throws -> String {
            let run = try await martlet.run("deploy", "-f", stack, flag)
            #expect(run.code == 0, "\(run)")
            return run.output
        }
        func revision() async throws -> Int? { try await martlet.client.function("read", in: nil).martlet?.revision }
        #expect(try await deployed().contains("read: deployed\n"))
        #expect(try await martlet.call("read").body == "one")
        #expect(try await deployed().contains("read: unchanged\n"))
        #expect(try await revision() == 1)
        let update = try await martlet.run("secret", "update", "key", "--from-literal", "two")
        #expect(update.code == 0 && update.output.contains("key: held by read; their files have"), "\(update)")
        #expect(try await martlet.call("read").body == "two", "the replica that runs has it")
        #expect(try await revision() == 1)
        #expect(try await deployed("--force").contains("read: deployed\n"))
        #expect(try await revision() == 2)
        let restart = try await martlet.run("secret", "update", "key", "--from-literal", "three", "--restart")
        #expect(restart.code == 0 && restart.output.contains("read: restarted, ready\n"), "\(restart)")
        #expect(try await revision() == 3)
        #expect(try await martlet.call("read").body == "three")
        #expect(try await martlet.run("secret", "create", "free", "--from-literal", "x").code == 0)
        let free = try await martlet.run("secret", "create", "free", "--from-literal", "y", "--replace")
        #expect(free.output == "free: stored\nfree: no function holds it\n", "\(free)")
        _ = await martlet.stop()
    }

    @Test func `a verb ends with 64 when used wrongly, with 1 and a sentence when something failed`() async throws {
        let martlet = try await start()
        #expect(try await martlet.run("deploy", "x").code == 64)
        #expect(try await martlet.run("invoke").code == 64)
        #expect(try await martlet.run("fly").code == 64)
        let missing = try await martlet.run("invoke", "nobody")
        #expect(missing.code == 1 && missing.error.contains("nobody"), "\(missing)")
        let nowhere = try await martlet.run("list", "-g", "http://127.0.0.1:1")
        #expect(nowhere.code == 1 && nowhere.error.contains("127.0.0.1:1"), "\(nowhere)")
        #expect(try await martlet.run("version", "--output", "json").output.contains("\"gateway\""))
        let completion = try await martlet.run("--generate-completion-script", "bash")
        #expect(completion.code == 0 && completion.output.contains("_martlet"))
        _ = await martlet.stop()
    }

    @Test func `an installation that is sound has no problem, one whose port is taken has one`() async throws {
        let martlet = try await start()
        let healthy = try await martlet.run("doctor", "--port", "0", "--metrics-port", "0", "--ui-port", "0")
        #expect(healthy.code == 0 && healthy.output.contains("process \(martlet.processID)"), "\(healthy)")
        let provider = ["functions_provider_url": "http://u:sesame@127.0.0.1:\(martlet.port)/"]
        let heard = try await martlet.run("doctor", environment: provider)
        #expect(heard.output.contains(" answers") && !heard.output.contains("sesame"), "\(heard)")
        let other = folder.path + "/other"
        let taken = try await martlet.run("doctor", "--data-dir", other, "--port", "\(martlet.port)")
        #expect(taken.code == 1 && taken.output.contains("PROBLEM port"), "\(taken)")
        #expect(!FileManager.default.fileExists(atPath: other), "doctor changes nothing")
        _ = await martlet.stop()
    }

    @Test func `up with a stack file where a platform answers brings its functions up to date`() async throws {
        let martlet = try await start()
        let stack = folder.write(
            "stack.yaml",
            "version: 1.0\nprovider:\n  name: openfaas\nfunctions:\n"
                + "  env:\n    image: host\n    fprocess: env\n    skip_build: true\n"
        )
        let up = try await martlet.run("up", "-f", stack, "--port", "\(martlet.port)")
        #expect(up.code == 0 && up.output.contains("env: ready at"), "\(up)")
        #expect(try await martlet.call("env").status == 200)
        _ = await martlet.stop()
    }
}
