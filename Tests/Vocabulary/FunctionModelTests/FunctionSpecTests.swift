// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
import FunctionModel
import Testing

/// What a deployment says, field by field.
struct FunctionSpecTests {
    private let id = FunctionID(name: "f", namespace: NameRule.defaultNamespace)

    private func deployment(
        _ variables: [String: String] = [:],
        labels: [String: String] = [:],
        annotations: [String: String] = [:]
    ) -> FunctionDeployment {
        FunctionDeployment(
            service: "f",
            image: "host",
            envProcess: "cat",
            envVars: variables,
            labels: labels,
            annotations: annotations
        )
    }

    private func spec(
        _ variables: [String: String] = [:],
        labels: [String: String] = [:],
        annotations: [String: String] = [:]
    ) throws -> FunctionSpec {
        try FunctionSpec(deployment(variables, labels: labels, annotations: annotations))
    }

    // MARK: Absent values

    @Test func `what is absent is not a default`() throws {
        let spec = try FunctionSpec(FunctionDeployment(service: "f", image: "registry/f:1"))
        #expect(spec.id == id && spec.paths.isEmpty && spec.labels.isEmpty && spec.annotations.isEmpty)
        #expect(spec.calls == CallPolicy() && spec.scaling == ScalingSpec())
        #expect(spec.calls.deadline == nil && spec.calls.access == .public && spec.calls.methods == nil)
        #expect(spec.run.command.isEmpty && spec.run.environment.isEmpty && spec.run.secrets.isEmpty)
        #expect(spec.run.mode == nil && spec.run.upstreamURL == nil && spec.run.contentType == nil)
        #expect(spec.run.execTimeout == nil && spec.run.gracePeriod == nil && spec.run.startTimeout == nil)
        #expect(spec.run.readiness == nil && spec.run.liveness == nil && spec.run.logLineLimit == nil)
        #expect(spec.run.limits == ResourceAmounts() && spec.run.requests == ResourceAmounts())
    }

    @Test func `a process has of-watchdog's defaults (§15.2)`() throws {
        let (spec, run) = try spec().filled(with: ImageDefaults())
        #expect(spec.calls.deadline == .seconds(30) && spec.calls.maxInFlight == nil)
        #expect(run.mode == .streaming && run.command == ["cat"] && run.port == .none)
        #expect(run.gracePeriod == .seconds(10) && run.startTimeout == .seconds(60))
        #expect(run.contentType == "application/octet-stream" && run.logLineLimit == 65_536)
        #expect(run.readiness == ProbeSpec() && run.liveness == nil)
    }

    @Test func `0 means no limit, which is not the same as nothing`() throws {
        let spec = try spec(["exec_timeout": "0", "max_inflight": "0", "grace_period": "0", "log_buffer_size": "-1"])
        #expect(spec.run.execTimeout == .zero && spec.calls.deadline == nil && spec.calls.maxInFlight == nil)
        let image = ImageDefaults(environment: ["exec_timeout": "5s", "max_inflight": "2", "grace_period": "5s"])
        let filled = try spec.filled(with: image)
        #expect(filled.spec.calls.deadline == nil && filled.spec.calls.maxInFlight == nil)
        #expect(filled.run.gracePeriod == .zero && filled.run.logLineLimit == nil)
    }

    // MARK: An image's own

    @Test func `what an image says holds where its deployment says nothing`() throws {
        let image = ImageDefaults(
            environment: [
                "exec_timeout": "5s", "max_inflight": "2", "ready_path": "up", "content_type": "text/plain",
                "http_buffer_req_body": "true", "A": "image", "B": "image",
            ],
            mode: "serializing",
            process: "run it"
        )
        let bare = try FunctionSpec(FunctionDeployment(service: "f", image: "f", envVars: ["B": "own"]))
        let (spec, run) = try bare.filled(with: image)
        #expect(run.mode == .serializing && run.command == ["run", "it"] && run.contentType == "text/plain")
        #expect(run.readiness.path == "/up" && spec.calls.deadline == .seconds(5) && spec.calls.maxInFlight == 2)
        #expect(spec.calls.buffersRequestBody && spec.run.environment["A"] == "image")
        #expect(spec.run.environment["B"] == "own" && spec.deployment == bare.deployment)
        let own = try self.spec(["mode": "streaming", "exec_timeout": "1s"]).filled(with: image)
        #expect(own.run.mode == .streaming && own.run.command == ["cat"] && own.spec.calls.deadline == .seconds(1))
    }

    @Test func `a variable that is empty says nothing, and keeps the image's from saying it`() throws {
        let image = ImageDefaults(environment: ["exec_timeout": "5s"])
        #expect(try spec(["exec_timeout": ""]).filled(with: image).spec.calls.deadline == .seconds(30))
    }

    @Test(
        arguments: [
            ([:], "", ["bundle"]), (["fprocess": "own"], "", ["own"]), (["function_process": "own"], "", ["own"]),
            (["function_process": "a", "fprocess": "b"], "", ["a"]),
            (["function_process": "a"], "given it", ["given", "it"]),
        ] as [([String: String], String, [String])]
    )
    func `the command is the deployment's, then its variables', then the image's`(
        variables: [String: String],
        line: String,
        command: [String]
    ) throws {
        let deployment = FunctionDeployment(service: "f", image: "f", envProcess: line, envVars: variables)
        let image = ImageDefaults(environment: ["fprocess": "variable"], process: "bundle")
        #expect(try FunctionSpec(deployment).filled(with: image).run.command == command)
    }

    @Test func `an image that cannot be run says so`() throws {
        let spec = try spec()
        for image in [
            ImageDefaults(environment: ["exec_timeout": "soon"]), ImageDefaults(mode: "afterburn"),
            ImageDefaults(environment: ["upstream_url": "ftp://a"]),
        ] {
            #expect(throws: PlatformFault.self) { try spec.filled(with: image) }
        }
    }

    @Test(arguments: ["afterburn", "static", "HTTP"])
    func `a mode that processes do not know may be an image's, and is refused for them`(mode: String) throws {
        let spec = try spec(["mode": mode])
        #expect(spec.run.mode == mode)
        let fault = #expect(throws: PlatformFault.self) { try spec.filled(with: ImageDefaults()) }
        #expect(fault?.message.contains("mode") == true)
    }

    @Test(arguments: [
        ("http://127.0.0.1:$PORT", ProcessRun.Port.assigned, ""), ("http://localhost:${PORT}/a/", .assigned, "/a"),
        ("http://127.0.0.1", .fixed(80), ""), ("http://[::1]:65535/x", .fixed(65_535), "/x"),
        ("http://0.0.0.0:1", .fixed(1), ""),
    ])
    func `an upstream_url means http, and names the port or leaves it to the platform`(
        url: String,
        port: ProcessRun.Port,
        prefix: String
    ) throws {
        let run = try spec(["upstream_url": url]).filled(with: ImageDefaults()).run
        #expect(run.mode == .http && run.port == port && run.pathPrefix == prefix)
    }

    @Test(arguments: [
        "http://127.0.0.1:0", "http://127.0.0.1:65536", "http://elsewhere:80", "https://127.0.0.1", "", "http://",
        "http://127.0.0.1:$PORTS", "http://127.0.0.11",
    ])
    func `an upstream_url that is not one of this machine is refused for processes`(url: String) throws {
        let spec = try spec(["mode": "http", "upstream_url": url])
        if url.isEmpty { return #expect(try spec.filled(with: ImageDefaults()).run.port == .assigned) }
        #expect(throws: PlatformFault.self) { try spec.filled(with: ImageDefaults()) }
    }

    // MARK: Values and their limits

    @Test func `each annotation of calls is read`() throws {
        let calls = try spec(
            ["exec_timeout": "1m", "max_inflight": "2147483647", "buffer_http": "1"],
            labels: ["com.martlet.queue.depth": "1000000"],
            annotations: [
                "com.openfaas.retry.attempts": "0", "com.openfaas.retry.codes": "100, 999",
                "com.openfaas.retry.min_wait": "1s", "com.openfaas.retry.max_wait": "2",
                "com.martlet.methods": "GET, POST", "com.martlet.access": "public",
            ]
        ).calls
        let retry = CallPolicy.Retry(
            attempts: 1,
            codes: [100, 999],
            firstWait: .seconds(1),
            longestWait: .seconds(2)
        )
        #expect(
            calls
                == CallPolicy(
                    deadline: .seconds(60),
                    maxInFlight: 2_147_483_647,
                    queueDepth: 1_000_000,
                    buffersRequestBody: true,
                    retry: retry,
                    methods: ["GET", "POST"]
                )
        )
    }

    @Test func `each word of running is read`() throws {
        var deployment = deployment(
            ["grace_period": "3s", "content_type": "text/plain", "log_buffer_size": "2147483647"],
            labels: ["com.martlet.limits.pids": "4194304", "com.martlet.start.timeout": "1ms"]
        )
        let probe = ["path": "up", "initialDelay": "2s", "periodSeconds": "1", "timeoutSeconds": "4"]
        let counts = ["successThreshold": "1000", "failureThreshold": "1"]
        let annotations = probe.merging(counts) { own, _ in own }
        deployment.annotations = Dictionary(
            uniqueKeysWithValues: ["ready", "health"].flatMap { kind in
                annotations.map { ("com.openfaas.\(kind).http.\($0.key)", $0.value) }
            }
        )
        deployment.secrets = ["key"]
        deployment.constraints = ["zone=a"]
        deployment.readOnlyRootFilesystem = true
        deployment.limits = FunctionResources(memory: "1Ki", cpu: "1m", gpus: ["nvidia.com/gpu": "1024"])
        deployment.requests = FunctionResources(memory: "1")
        let run = try FunctionSpec(deployment).run
        #expect(run.gracePeriod == .seconds(3) && run.startTimeout == .milliseconds(1))
        #expect(run.contentType == "text/plain" && run.logLineLimit == 2_147_483_647)
        #expect(run.secrets == ["key"] && run.constraints == ["zone=a"] && run.readOnlyRoot)
        #expect(
            run.limits
                == ResourceAmounts(memoryBytes: 1024, milliCPU: 1, processes: 4_194_304, gpus: ["nvidia.com/gpu": 1024])
        )
        #expect(run.requests == ResourceAmounts(memoryBytes: 1))
        var expected = ProbeSpec(path: "/up")
        (expected.initialDelay, expected.period, expected.timeout) = (.seconds(2), .seconds(1), .seconds(4))
        (expected.successThreshold, expected.failureThreshold) = (1000, 1)
        #expect(run.readiness == expected && run.liveness == expected)
    }

    @Test func `the bounds of scaling are read`() throws {
        let most = String(Int32.max)
        let labels = ["com.openfaas.scale.min": "0", "com.openfaas.scale.max": most, "com.openfaas.scale.factor": "0"]
        #expect(try spec(labels: labels).scaling == ScalingSpec(min: 1, max: Int(Int32.max), factor: 0))
        let rules = try spec(labels: ["com.openfaas.scale.target": "7"]).scaling.rules
        #expect(rules == ScalingRules(target: 7))
    }

    @Test func `further paths are read`() throws {
        #expect(try spec(annotations: ["com.martlet.path": "/shop, /a-b/c.d/~e"]).paths == ["/shop", "/a-b/c.d/~e"])
    }

    @Test(arguments: [
        ("/shop/", "/shop"), ("/shop//", "/shop"), ("/%73hop", "/shop"), ("/%7ea/%2D", "/~a/-"), ("/Shop", "/Shop"),
        ("/", nil), ("//shop", nil), ("/a//b", nil), ("shop", nil), ("/%2e%2E", nil), ("/a%2Fb", nil), ("/%7", nil),
        ("/%zz", nil), ("/system/", nil), ("/%73ystem", nil), ("/ä", nil), ("", nil),
        ("/" + String(repeating: "a", count: 1023), "/" + String(repeating: "a", count: 1023)),
        ("/" + String(repeating: "a", count: 1024), nil),
    ])
    func `a path has one spelling, or none`(path: String, normal: String?) {
        #expect(PathRule.normalForm(path) == normal)
    }

    @Test func `a path that is written twice is one`() throws {
        let written = ["com.martlet.path": "/shop, /shop/,/%73hop, /Shop"]
        #expect(try spec(annotations: written).paths == ["/shop", "/Shop"])
    }

    @Test func `a function's own name may begin its path, and another's may not, whatever its namespace`() throws {
        let shop = try spec(annotations: ["com.martlet.path": "/f/a, /shop.b/x"])
        func check(_ other: FunctionID, _ paths: [String] = [], isNew: Bool = true) throws(PlatformFault) {
            try shop.checkPaths(
                among: [(other, paths)],
                exists: { $0 == other },
                isNew: isNew,
                defaultNamespace: shop.id.namespace
            )
        }
        try check(shop.id, ["/f/a"])
        try check(FunctionID(name: "shop", namespace: "a"))
        let fault = #expect(throws: PlatformFault.self) { try check(FunctionID(name: "shop", namespace: "b")) }
        #expect(fault?.code == .conflict && fault?.message.contains("the function shop.b,") == true)
        let other = FunctionID(name: "other", namespace: "a")
        #expect(throws: PlatformFault.self) { try check(other, ["/f"]) }
        try check(other, ["/f"], isNew: false)
    }

    @Test(arguments: [
        ["exec_timeout": "soon"], ["grace_period": "-1s"], ["max_inflight": "-1"], ["max_inflight": "2147483648"],
        ["log_buffer_size": "big"], ["log_buffer_size": "-2"],
    ])
    func `a variable that cannot be parsed is named`(variables: [String: String]) {
        let fault = #expect(throws: PlatformFault.self) { try spec(variables) }
        #expect(fault?.code == .invalidValue && fault?.hint?.isEmpty == false)
        #expect(fault?.message.contains(variables.keys.first ?? "") == true)
    }

    @Test(arguments: [
        ["com.openfaas.scale.factor": "lots"], ["com.openfaas.scale.factor": "101"], ["com.openfaas.scale.max": "0"],
        ["com.openfaas.scale.min": "-1"], ["com.martlet.queue.depth": "1000001"], ["com.martlet.start.timeout": "0"],
        ["com.martlet.start.timeout": "soon"], ["com.martlet.limits.pids": "0"],
        ["com.martlet.limits.pids": "4194305"], ["com.openfaas.scale.target": "0"],
    ])
    func `a label that cannot be parsed is refused by its name (§29)`(labels: [String: String]) {
        let fault = #expect(throws: PlatformFault.self) { try spec(labels: labels) }
        #expect(fault?.message.contains(labels.keys.first ?? "") == true && fault?.hint?.isEmpty == false)
    }

    @Test func `a minimum above the maximum is refused`() {
        #expect(throws: PlatformFault.self) { try spec(labels: ["com.openfaas.scale.min": "21"]) }
    }

    @Test(arguments: [
        ["com.openfaas.retry.attempts": "10001"], ["com.openfaas.retry.codes": "99"],
        ["com.openfaas.retry.codes": "500,,x"], ["com.openfaas.retry.min_wait": "x"],
        ["com.openfaas.ready.http.path": "/", "com.openfaas.ready.http.failureThreshold": "0"],
        ["com.martlet.methods": ""], ["com.martlet.methods": "get"], ["com.martlet.methods": "GET,,X-Y"],
        ["com.martlet.path": "shop"], ["com.martlet.path": "/"], ["com.martlet.path": "/a//b"],
        ["com.martlet.path": "/a%2Fb"], ["com.martlet.path": "/a/../b"], ["com.martlet.path": "/system/x"],
        ["com.martlet.path": "/function"], ["com.martlet.path": "/a b"], ["com.martlet.path": "/ok, /ui"],
        ["com.martlet.access": "token"], ["com.martlet.access": ""],
    ])
    func `an annotation that cannot be parsed is refused by its name`(annotations: [String: String]) {
        let fault = #expect(throws: PlatformFault.self) { try spec(annotations: annotations) }
        #expect(fault?.code == .invalidValue && annotations.keys.contains { fault?.message.contains($0) == true })
    }

    @Test(
        arguments: [
            { $0.limits = FunctionResources(memory: "many") }, { $0.requests = FunctionResources(cpu: "0") },
            { $0.limits = FunctionResources(gpus: ["amd.com/gpu": "1.5"]) },
            { $0.limits = FunctionResources(gpus: ["amd.com/gpu": "1025"]) }, { $0.image = "" }, { $0.service = "A" },
            { $0.namespace = "a b" }, { $0.secrets = ["../x"] }, { $0.envVars = ["a=b": "c"] },
        ] as [@Sendable (inout FunctionDeployment) -> Void]
    )
    func `what no provider could run is refused`(change: @Sendable (inout FunctionDeployment) -> Void) {
        var deployment = deployment()
        change(&deployment)
        let fault = #expect(throws: PlatformFault.self) { try FunctionSpec(deployment) }
        #expect(fault?.code == .invalidValue)
    }

    // MARK: Stored and received

    @Test func `what was stored or is told is kept as it is, and what cannot be parsed counts as absent`() {
        let given = deployment(
            ["exec_timeout": "soon", "max_inflight": "3"],
            labels: [
                "com.martlet.colour": "red", "com.openfaas.scale.min": "-9223372036854775808",
                "com.openfaas.scale.max": "9223372036854775807", "com.openfaas.scale.target": "many",
            ],
            annotations: [
                "com.martlet.access": "token", "com.martlet.path": "/ok, /system", "com.martlet.methods": "get",
            ]
        )
        var faults: [String] = []
        let spec = FunctionSpec(stored: given, of: id) { faults.append($0) }
        #expect(spec.deployment.labels == given.labels && spec.deployment.annotations == given.annotations)
        #expect(spec.calls.deadline == nil && spec.calls.maxInFlight == 3)
        #expect(spec.scaling == ScalingSpec(min: 1, max: Int(Int32.max)) && spec.paths == ["/ok"])
        #expect(spec.calls.access != .public, "who may call it is not known, so nobody may")
        #expect(spec.calls.methods == [], "by which methods is not known, so by none")
        #expect(faults.count == 8 && faults.contains { $0.contains("com.martlet.colour") }, "\(faults)")
        let status = FunctionStatus(given, namespace: id.namespace, createdAt: .now())
        let received = FunctionSpec(received: status)
        #expect(
            received.calls == spec.calls && received.scaling == spec.scaling && received.deployment == spec.deployment
        )
    }

    @Test(arguments: [
        ("GET, Query", ["GET"]), ("get", []), ("", []), (",", []), ("X-Y, POST ,PUT", ["POST", "PUT"]),
    ])
    func `methods of which some cannot be parsed do not open a function to the others`(
        text: String,
        methods: [String]
    ) {
        let stored = FunctionSpec(stored: deployment(annotations: ["com.martlet.methods": text]), of: id)
        #expect(stored.calls.methods == methods)
    }

    @Test func `the label that only reading adds is none of a spec's`() throws {
        #expect(try spec(labels: ["faas_function": "f"]).labels.isEmpty)
    }

    // MARK: Graphics processors on the wire (§8.1)

    @Test func `graphics processors are read, written, and a difference`() throws {
        let text = #"{"memory":"1Gi","nvidia.com/gpu":"2","example.com/thing":"7"}"#
        let amounts = try JSONDecoder().decode(FunctionResources.self, from: Data(text.utf8))
        #expect(amounts == FunctionResources(memory: "1Gi", gpus: ["nvidia.com/gpu": "2"]))
        let again = try JSONDecoder().decode(FunctionResources.self, from: JSONEncoder().encode(amounts))
        #expect(again == amounts)
        let (plain, other) = (deployment(), deployment())
        var changed = other
        changed.limits = FunctionResources(gpus: ["nvidia.com/gpu": "1"])
        #expect(!changed.asksForTheSame(as: plain))
        changed.limits = FunctionResources(gpus: ["nvidia.com/gpu": ""])
        #expect(changed.asksForTheSame(as: plain))
    }
}
