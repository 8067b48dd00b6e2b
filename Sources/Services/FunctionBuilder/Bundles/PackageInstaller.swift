// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
import ProcessControl

/// Fetches the packages that a function's code names, into a copy of the code, so that the user's folder stays as it is.
struct PackageInstaller {
    private let packages: Template.Packages
    private let function: String

    init(_ packages: Template.Packages, function: String) {
        self.packages = packages
        self.function = function
    }

    /// A temporary folder that holds what the installer made.
    struct Fetched {
        let path: String

        func remove() { try? FileManager.default.removeItem(atPath: path) }
    }

    /// Runs the installer; nil where no packages are named.
    ///
    /// - Throws: `processFailed` with the installer's last words.
    func install(for handler: String) async throws(PlatformFault) -> Fetched? {
        guard namesPackages("\(handler)/\(packages.manifest)") else { return nil }
        let copy = Fetched(path: NSTemporaryDirectory() + "/martlet-build-\(UUID().uuidString)")
        do {
            try FileManager.default.copyItem(atPath: handler, toPath: copy.path)
        } catch {
            throw PlatformFault(.storageUnavailable, "The code of \(function) cannot be copied.", cause: error)
        }
        do throws(PlatformFault) { try await run(in: copy.path) } catch {
            copy.remove()
            throw error
        }
        // Only what is new goes into the bundle beside the code.
        for name in FileTree.files(below: handler) {
            try? FileManager.default.removeItem(atPath: "\(copy.path)/\(name)")
        }
        return copy
    }

    /// A manifest that names nothing asks for no installer.
    private func namesPackages(_ manifest: String) -> Bool {
        guard let data = FileManager.default.contents(atPath: manifest) else { return false }
        if manifest.hasSuffix(".json") {
            let tree = (try? JSONSerialization.jsonObject(with: data)) as? [String: Any]
            return (tree?["dependencies"] as? [String: Any])?.isEmpty == false
        }
        return String(decoding: data, as: UTF8.self).split(separator: "\n").contains { line in
            let text = line.trimmingCharacters(in: .whitespaces)
            return !text.isEmpty && !text.hasPrefix("#")
        }
    }

    private func run(in folder: String) async throws(PlatformFault) {
        var environment = ProcessInfo.processInfo.environment
        // The interpreter that will run the function, whatever else the user's own path would find first.
        environment["PATH"] = BundleBuilder.functionPath
        let run: ProgramRun
        do throws(SpawnError) {
            run = try await ProgramRun.run(packages.command, environment: environment, in: folder)
        } catch {
            throw failure(error.message, isMissing: true)
        }
        guard !run.isSuccess else { return }
        let words = (run.output + run.error).split(separator: "\n").suffix(5).joined(separator: "\n")
        throw failure(words, isMissing: words.contains("No module named pip"))
    }

    private func failure(_ words: String, isMissing: Bool) -> PlatformFault {
        PlatformFault(
            .processFailed,
            "The packages of \(function) (\(packages.manifest)) cannot be fetched:\n\(words)",
            hint: isMissing ? packages.hint : "Mend \(packages.manifest) or the network, then build again."
        )
    }
}
