// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
import FunctionModel
import TestSupport
import Testing

/// Labels and annotations of Martlet's own.
struct PlatformLabelTests {
    private func fault(labels: [String: String] = [:], annotations: [String: String] = [:]) -> PlatformFault? {
        let deployment = FunctionDeployment(service: "f", image: "host", labels: labels, annotations: annotations)
        do throws(PlatformFault) { _ = try FunctionSpec(deployment) } catch { return error }
        return nil
    }

    @Test(arguments: [
        ("com.martlet.queue.deph", "com.martlet.queue.depth"), ("com.martlet.scale.qery", "com.martlet.scale.query"),
        ("com.martlet.paths", "com.martlet.path"), ("com.martlet.method", "com.martlet.methods"),
        ("com.martlet.starttimeout", "com.martlet.start.timeout"), ("com.martlet.acess", "com.martlet.access"),
        ("com.martlet.limits.pid", "com.martlet.limits.pids"),
    ])
    func `one that does not exist is refused, and the nearest named`(name: String, nearest: String) throws {
        for fault in [fault(labels: [name: "x"]), fault(annotations: [name: "x"])] {
            let fault = try #require(fault)
            #expect(fault.code == .invalidValue && fault.message.contains("\(name)."), "\(fault)")
            #expect(fault.hint?.contains(nearest) == true, "\(fault.hint ?? "")")
        }
    }

    @Test func `those of others are nobody's business, however long`() {
        #expect(fault(labels: ["com.martletx": "x", "com.openfaas.scale.colour": "x", "team": "y"]) == nil)
        let name = "com.martlet." + String(repeating: "x", count: 100_000)
        let fault = fault(labels: [name: ""])
        #expect(fault?.code == .invalidValue && fault?.hint?.contains("nearest") != true, "nothing is near")
    }

    @Test func `of very many that do not exist some are told`() {
        let names = (0..<1000).map { ("com.martlet.colour-\($0)", "") }
        let deployment = FunctionDeployment(
            service: "f",
            image: "host",
            labels: Dictionary(uniqueKeysWithValues: names)
        )
        var told = 0
        _ = FunctionSpec(stored: deployment, of: FunctionID(name: "f", namespace: "fn")) { _ in told += 1 }
        #expect((1...10).contains(told))
    }

    @Test func `each is read in either place`() throws {
        let deployment = FunctionDeployment(
            service: "f",
            image: "host",
            labels: ["com.martlet.methods": "GET"],
            annotations: ["com.martlet.queue.depth": "7", "com.martlet.limits.pids": "8"]
        )
        let spec = try FunctionSpec(deployment)
        #expect(spec.calls.methods == ["GET"] && spec.calls.queueDepth == 7 && spec.run.limits.processes == 8)
    }

    @Test func `the documentation has each of them as it is`() throws {
        let page = try String(contentsOf: Repository.file("Documentation/functions.md"), encoding: .utf8)
        let lines = page.split(separator: "\n").filter { $0.hasPrefix("| `\(PlatformLabel.prefix)") }
        #expect(lines.map(String.init) == PlatformLabel.all.map { "| `\($0.name)` | \($0.place) | \($0.meaning) |" })
    }

    @Test func `no other place in the code names one`() throws {
        let sources = Repository.file("Sources")
        let files = try #require(FileManager.default.enumerator(at: sources, includingPropertiesForKeys: nil))
        for case let file as URL in files where file.pathExtension == "swift" {
            let text = try String(contentsOf: file, encoding: .utf8)
            let isTable = file.lastPathComponent == "PlatformLabel.swift"
            #expect(isTable || !text.contains("\"\(PlatformLabel.prefix)"), "\(file.lastPathComponent)")
        }
    }
}
