// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import AsyncHTTPClient
import DockerProvider
import FaultModel
import Foundation
import FunctionBuilder
import FunctionModel
import GatewayService
import JetStreamQueue
import ProcessControl
import ProcessProvider
import ReplicaSupervision
import SQLiteSchema
import SystemClient
import UpstreamTLS

/// `martlet doctor`: why an installation does not start, or will not do all it should.
struct DoctorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Say what is wrong with an installation that does not start.",
        discussion: "Changes nothing. Ends with 1 when something keeps Martlet from starting."
    )

    @OptionGroup var options: PlatformOptions

    func run() async throws {
        let findings = await findings()
        for finding in findings { print(finding.line) }
        if findings.contains(where: \.isProblem) { throw ExitCode(1) }
    }

    private func findings() async -> [Finding] {
        let settings: PlatformSettings
        do throws(PlatformFault) { settings = try options.settings() } catch {
            return [Finding(.problem, "settings", error.description)]
        }
        let diagnosis = Diagnosis(settings)
        return [Finding(.good, "settings", "all are understood")] + diagnosis.findings + (await diagnosis.jetStream)
            + (await diagnosis.provider) + (await diagnosis.docker)
    }
}

/// One thing that was looked at.
private struct Finding {
    enum Verdict: String {
        case good = "ok      "
        case note = "note    "
        case problem = "PROBLEM "
    }

    let verdict: Verdict
    let text: String

    init(_ verdict: Verdict, _ subject: String, _ text: String) {
        self.verdict = verdict
        self.text = "\(subject): \(text)"
    }

    var isProblem: Bool { verdict == .problem }

    var line: String { verdict.rawValue + text }
}

private struct Diagnosis {
    let settings: PlatformSettings

    init(_ settings: PlatformSettings) { self.settings = settings }

    var findings: [Finding] {
        let owner = StateInspection.owner(ofDataDirectory: settings.dataDirectory)
        return [dataDirectory, ownership(owner), deployments, calls]
            + ports.map { port($0, $1, isOurs: owner != nil) } + socket(owner)
            + [limits, mounts] + languages
    }

    private var ports: [(String, Int)] {
        let listeners = settings.listeners
        let page = listeners.pagePort.map { [("ui-port", $0)] } ?? []
        let management = listeners.managementPort.map { [("management-port", $0)] } ?? []
        return [("port", listeners.port)] + management + [("metrics-port", listeners.metricsPort)] + page
    }

    /// The queue on NATS, where the settings name a server.
    var jetStream: [Finding] {
        get async {
            guard let jetStream = settings.jetStream else { return [] }
            do throws(PlatformFault) {
                let connection = jetStream.connection("martlet doctor")
                let found = try await JetStreamInspection(connection, queue: jetStream.queue)
                return [replicas(found.replicas ?? jetStream.replicas, isThere: found.replicas != nil)]
            } catch {
                return [Finding(.problem, "NATS", "\(error.message) \(error.hint ?? "")")]
            }
        }
    }

    /// The provider elsewhere, where the settings name one: whether it answers, and what a gateway here hears of it.
    var provider: [Finding] {
        get async {
            guard let url = settings.gateway.providerURL else { return [] }
            do throws(PlatformFault) {
                let address = try await askProvider(url)
                return [Finding(.good, "provider", "\(address) answers")] + (await loss)
            } catch {
                return [Finding(.problem, "provider", error.message)] + (await loss)
            }
        }
    }

    /// Its address without a password, where it answers.
    private func askProvider(_ url: String) async throws(PlatformFault) -> String {
        let security = try RemoteSecurity(url, settings.remote, TLSConnector())
        let http =
            try security.map { known throws(PlatformFault) in
                try SystemClient.makeHTTPClient(known.tls, of: url)
            } ?? SystemClient.makeHTTPClient()
        defer { http.shutdown { _ in } }
        let plain = SystemClient(baseURL: url, login: nil, http: http, timeout: .seconds(5))
        let client = security?.client(of: url, login: nil, http, timeout: .seconds(5)) ?? plain
        try await client.checkHealth()
        return client.baseURL
    }

    /// The engine that runs functions, where one does: whether it answers, and what it enforces.
    var docker: [Finding] {
        get async {
            guard settings.provider.kind == .docker else { return [] }
            do throws(PlatformFault) {
                let host = try await EngineHost.connect(environment: settings.variables)
                await host.shutdown()
                let lacks = host.unenforced
                let limits =
                    lacks.isEmpty
                    ? Finding(.good, "Docker limits", "all are enforced")
                    : Finding(.note, "Docker limits", "\(lacks.joined(separator: ", ")) not enforced by the engine")
                return [Finding(.good, "Docker engine", host.summary), limits]
            } catch {
                return [Finding(.problem, "Docker engine", "\(error.message) \(error.hint ?? "")")]
            }
        }
    }

    /// Nothing where no gateway of this data directory is there, which alone is told the password, or where it hears its
    /// provider.
    private var loss: [Finding] {
        get async {
            let listeners = settings.listeners
            let owner = PlatformOwner(dataDirectory: "\(settings.dataDirectory)/gateway")
            let port = listeners.managementPort ?? listeners.port
            guard owner.holds(port: port) else { return [] }
            let http = SystemClient.makeHTTPClient(ownCertificate: listeners.tlsFiles?.certificate)
            defer { http.shutdown { _ in } }
            let client = SystemClient(
                baseURL: "\(listeners.scheme)://127.0.0.1:\(port)",
                login: try? settings.credentials.login(),
                http: http,
                timeout: .seconds(5)
            )
            guard let lost = (try? await client.info())?.lost else { return [] }
            let words = "the gateway has heard nothing of it since \(lost.since): \(lost.reason)"
            return [Finding(.problem, "provider", words)]
        }
    }

    private func replicas(_ count: Int, isThere: Bool) -> Finding {
        let state = isThere ? "calls are kept" : "calls will be kept"
        guard count == 1 else { return Finding(.good, "NATS", "\(state) on \(count) servers") }
        return Finding(
            .note,
            "NATS",
            "\(state) on one server, which acknowledges before they are on its disk: a power cut there can lose calls "
                + "that were answered with 202. In a cluster set nats-replicas to 3"
        )
    }

    private var dataDirectory: Finding {
        let path = settings.dataDirectory
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
            return Finding(.good, "data directory", "\(path) will be made at the first start")
        }
        guard isFolder.boolValue else {
            return Finding(.problem, "data directory", "\(path) is a file; name a folder by --data-dir")
        }
        guard access(path, R_OK | W_OK | X_OK) == 0 else {
            return Finding(.problem, "data directory", "\(path) cannot be written by this user")
        }
        return Finding(.good, "data directory", path)
    }

    private func ownership(_ owner: Int32?) -> Finding {
        guard let owner else { return Finding(.good, "owner", "no Martlet uses the data directory") }
        return Finding(.note, "owner", "process \(owner) uses the data directory; a second Martlet cannot")
    }

    private var deployments: Finding {
        database("deployments", "martlet.sqlite", "put back a copy, or move it away to start with no functions")
    }

    private var calls: Finding {
        database("calls", "calls.sqlite", "put back a copy, or move it away to start with no asynchronous calls")
    }

    private func database(_ subject: String, _ name: String, _ advice: String) -> Finding {
        guard let problem = DatabaseInspection.problem(of: "\(settings.dataDirectory)/\(name)") else {
            return Finding(.good, subject, "the database is sound")
        }
        return Finding(.problem, subject, "\(name) is damaged (\(problem)); \(advice)")
    }

    private func port(_ name: String, _ port: Int, isOurs: Bool) -> Finding {
        guard port != 0, !PortPool.isFree(port) else { return Finding(.good, name, "\(port) can be taken") }
        if isOurs { return Finding(.note, name, "\(port) is taken, as it should be while Martlet runs") }
        return Finding(.problem, name, "\(port) is taken by another program; choose another by --\(name)")
    }

    /// Nothing where none is wanted.
    private func socket(_ owner: Int32?) -> [Finding] {
        guard let path = settings.listeners.socket?.path else { return [] }
        let folder = (path as NSString).deletingLastPathComponent
        let advice = "choose another by --socket"
        guard access(folder, W_OK | X_OK) == 0 else {
            return [Finding(.problem, "socket", "\(folder) is no folder that this user can write; \(advice)")]
        }
        guard let listener = SocketFile.listener(at: path) else {
            return [Finding(.good, "socket", "\(path) can be taken")]
        }
        guard listener == owner else {
            return [Finding(.problem, "socket", "\(path) is taken by process \(listener); \(advice)")]
        }
        return [Finding(.note, "socket", "\(path) is taken, as it should be while Martlet runs")]
    }

    private var limits: Finding {
        let tree = ControlGroupTree.detect(name: "martlet-doctor", processID: getpid())
        tree?.remove()
        guard let tree else {
            return Finding(.note, "limits", "no writable control groups: memory is watched, CPU is not enforced")
        }
        return Finding(.good, "limits", "control groups of version \(tree.version == .v1 ? 1 : 2) can be written")
    }

    private var mounts: Finding {
        PrivateMounts.areAvailable
            ? Finding(.good, "secrets", "also at /var/openfaas/secrets, privately per function")
            : Finding(.note, "secrets", "only in secret_mount_path: private mounts need root")
    }

    private var languages: [Finding] {
        TemplateLibrary.builtIn.compactMap { template in
            guard let program = template.requires else { return nil }
            return BundleBuilder.isInstalled(program)
                ? Finding(.good, "template \(template.name)", "\(program) is installed")
                : Finding(.note, "template \(template.name)", "\(program) is not installed where functions look for it")
        }
    }
}
