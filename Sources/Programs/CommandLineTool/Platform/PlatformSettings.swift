// SPDX-License-Identifier: Apache-2.0

import AutoscalerService
import DockerProvider
import FaultModel
import FunctionModel
import GatewayService
import InvocationWorker
import JetStreamQueue
import ProcessProvider
import RemoteProvider
import RuntimeSettings

/// The settings of `up`, `gateway`, `provider` and `queue-worker`, read once at the start.
///
/// Each module declares its own; here is which there are.
struct PlatformSettings: SettingsSection {
    static let name: String? = nil

    /// The data directory's absolute path.
    let dataDirectory: String
    let listeners: ListenerSettings
    let access: AccessSettings
    let provider: ProviderSettings
    let process: ProcessSettings
    let docker: DockerSettings
    let gateway: GatewayCommand.Settings
    let remote: RemoteSettings
    let stack: StackStart.Settings
    /// Nil where no asynchronous calls are accepted.
    let asynchrony: AsynchronySettings?
    /// Nil where calls are kept in the data directory.
    let jetStream: JetStreamSettings?
    let queueWorker: QueueWorkerCommand.Settings
    let limits: LimitSettings
    let scaling: ScalingSettings
    let logs: LogSettings
    /// Each setting as it was found, in the order of the documentation.
    let readings: [SettingReading]

    /// Reads settings from flags by name, an environment, and the file in the data directory.
    ///
    /// - Throws: `badSettings` naming everything that is wrong at once.
    init(
        flags: [String: String],
        environment: [String: String],
        readFile: @escaping (String) throws(UnreadableFile) -> String? = SettingsReader.contents
    ) throws(PlatformFault) {
        var reader = SettingsReader(flags: flags, environment: environment, readFile: readFile)
        self.init(&reader)
        try reader.finish()
    }

    init(_ reader: inout SettingsReader) {
        dataDirectory = reader.path(
            Setting("data-dir", default: "~/.martlet", "Folder of everything that lasts.", flag: .value)
        )
        reader.open("\(dataDirectory)/martlet.yaml")
        listeners = reader.section()
        access = reader.section()
        provider = reader.section()
        process = reader.section()
        docker = reader.section()
        gateway = reader.section()
        remote = reader.section()
        stack = reader.section()
        let asynchrony: AsynchronySettings = reader.section()
        self.asynchrony = asynchrony.isOn ? asynchrony : nil
        let jetStream: JetStreamSettings = reader.section()
        self.jetStream = jetStream.servers.isEmpty ? nil : jetStream
        queueWorker = reader.section()
        limits = reader.section()
        scaling = reader.section()
        logs = reader.section()
        readings = reader.readings
    }

    /// Where the password is.
    var credentials: CredentialFiles {
        CredentialFiles(folder: access.folder ?? dataDirectory, isOwn: access.folder == nil)
    }
}

/// What runs functions, and in which namespace where none is named.
struct ProviderSettings: SettingsSection {
    enum Kind: String, Sendable, CaseIterable {
        case process
        case docker
    }

    static let name: String? = "provider"

    let kind: Kind
    let defaultNamespace: String

    init(_ reader: inout SettingsReader) {
        kind = reader.word(
            Setting(
                "provider",
                short: "kind",
                default: "process",
                "What runs functions: process, or docker.",
                flag: .value
            )
        )
        let namespace = reader.text(
            Setting(
                "function-namespace",
                also: ["function_namespace"],
                default: NameRule.defaultNamespace,
                "The default namespace."
            )
        )
        defaultNamespace =
            NameRule.isLabel(namespace)
            ? namespace : reader.refuse("function-namespace", "is not a namespace's name", namespace)
    }
}
