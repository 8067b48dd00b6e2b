// swift-tools-version: 6.3
// SPDX-License-Identifier: Apache-2.0

import PackageDescription

let strict: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .enableUpcomingFeature("InferIsolatedConformances"),
    .enableUpcomingFeature("ImmutableWeakCaptures"),
    .treatAllWarnings(as: .error),
    .treatWarning("DeprecatedDeclaration", as: .warning),
]

// Products of other packages, named once.
let nioCore: Target.Dependency = .product(name: "NIOCore", package: "swift-nio")
let nioPosix: Target.Dependency = .product(name: "NIOPosix", package: "swift-nio")
let nioEmbedded: Target.Dependency = .product(name: "NIOEmbedded", package: "swift-nio")
let nioFoundation: Target.Dependency = .product(name: "NIOFoundationCompat", package: "swift-nio")
let nioTLS: Target.Dependency = .product(name: "NIOTLS", package: "swift-nio")
let nioSSL: Target.Dependency = .product(name: "NIOSSL", package: "swift-nio-ssl")
let nioHTTP1: Target.Dependency = .product(name: "NIOHTTP1", package: "swift-nio")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let hummingbird: Target.Dependency = .product(name: "Hummingbird", package: "hummingbird")
let httpTypes: Target.Dependency = .product(name: "HTTPTypes", package: "swift-http-types")
let httpClient: Target.Dependency = .product(name: "AsyncHTTPClient", package: "async-http-client")
let sqlite: Target.Dependency = .product(name: "GRDB", package: "GRDB.swift")
let sqliteC: Target.Dependency = .product(name: "GRDBSQLite", package: "GRDB.swift")
let asyncAlgorithms: Target.Dependency = .product(name: "AsyncAlgorithms", package: "swift-async-algorithms")
let deque: Target.Dependency = .product(name: "DequeModule", package: "swift-collections")
let heap: Target.Dependency = .product(name: "HeapModule", package: "swift-collections")
let crypto: Target.Dependency = .product(name: "Crypto", package: "swift-crypto")
let lifecycle: Target.Dependency = .product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let yaml: Target.Dependency = .product(name: "Yams", package: "Yams")
let arguments: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")

/// The folders of `Sources` and `Tests`, as far as they hold targets that are made here: arrows between them point down.
enum Layer: String {
    case programs = "Programs"
    case services = "Services"
    case providers = "Providers"
    case queues = "Queues"
    case engine = "Engine"
    case mechanisms = "Mechanisms"
    case vocabulary = "Vocabulary"
}

/// A Swift target with the settings that all of ours share.
func module(
    _ layer: Layer,
    _ name: String,
    _ dependencies: [Target.Dependency] = [],
    _ more: [SwiftSetting] = []
) -> Target {
    .target(
        name: name,
        dependencies: dependencies,
        path: "Sources/\(layer.rawValue)/\(name)",
        swiftSettings: strict + more
    )
}

/// For what runs per request: exclusive access is checked where the tests run, in debug builds, and costs nothing later.
let hot: [SwiftSetting] = [.unsafeFlags(["-enforce-exclusivity=unchecked"], .when(configuration: .release))]

func tests(_ layer: Layer, of name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .testTarget(
        name: "\(name)Tests",
        dependencies: [.target(name: name)] + dependencies,
        path: "Tests/\(layer.rawValue)/\(name)Tests",
        swiftSettings: strict
    )
}

let package = Package(
    name: "martlet",
    products: [
        .executable(name: "martlet", targets: ["martlet"]),
        .executable(name: "fwatchdog", targets: ["fwatchdog"]),
        .library(name: "ProviderContract", targets: ["FaultModel", "FunctionModel", "ProviderContract"]),
        .library(name: "QueueContract", targets: ["FaultModel", "FunctionModel", "QueueContract"]),
        .library(name: "QueueConformance", targets: ["QueueConformance"]),
        // Loaded before a program whose promises are tested against power cuts.
        .library(name: "PowerLossRecorder", type: .dynamic, targets: ["PowerLossRecorder"]),
        .library(name: "ProviderConformance", targets: ["ProviderConformance"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser.git", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-async-algorithms.git", from: "1.1.4"),
        .package(url: "https://github.com/apple/swift-collections.git", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-crypto.git", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-http-types.git", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log.git", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-nio.git", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl.git", from: "2.37.6"),
        .package(url: "https://github.com/groue/GRDB.swift.git", from: "7.10.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird.git", from: "2.28.1"),
        .package(url: "https://github.com/jpsim/Yams.git", from: "6.2.2"),
        .package(url: "https://github.com/swift-server/async-http-client.git", from: "1.37.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle.git", from: "2.13.0"),
    ],
    targets: [
        // Programs: what is started, and what puts services and back ends together.
        .executableTarget(
            name: "martlet",
            dependencies: ["CommandLineTool", arguments],
            path: "Sources/Programs/martlet",
            swiftSettings: strict
        ),
        .executableTarget(
            name: "fwatchdog",
            dependencies: ["WatchdogService"],
            path: "Sources/Programs/fwatchdog",
            swiftSettings: strict
        ),
        module(
            .programs,
            "CommandLineTool",
            [
                "AutoscalerService", "DockerProvider", "FaultModel", "FunctionBuilder", "FunctionModel",
                "GatewayService",
                "InvocationEngine",
                "InvocationWorker", "JetStreamQueue", "ProcessControl", "ProcessProvider", "ProviderContract",
                "ReplicaSupervision",
                "PrometheusClient", "QueueContract", "RemoteProvider", "RuntimeSettings", "SQLiteQueue", "SQLiteSchema",
                "SQLiteStore", "SystemAPI", "SystemClient",
                "Telemetry",
                "UpstreamTLS",
                arguments, httpClient, lifecycle, logging, nioCore, nioPosix, nioSSL,
                yaml,
            ]
        ),

        // Services: what the platform does; none knows a back end.
        module(
            .services,
            "GatewayService",
            [
                "AutoscalerService", "Dashboard", "FaultModel", "FunctionModel", "InvocationEngine", "InvocationWorker",
                "ProcessControl", "PrometheusClient", "ProviderContract", "QueueContract", "RuntimeSettings",
                "SystemAPI",
                "Telemetry",
                httpTypes,
                hummingbird, lifecycle, logging, nioCore,
            ]
        ),
        module(
            .services,
            "SystemAPI",
            [
                "FaultModel", "FunctionModel", "InvocationEngine", "ProviderContract", "QueueContract",
                asyncAlgorithms, crypto, httpTypes, hummingbird, logging, nioCore, nioFoundation,
            ]
        ),
        module(
            .services,
            "AutoscalerService",
            [
                "FaultModel", "FunctionModel", "InvocationEngine", "PrometheusClient", "ProviderContract",
                "RuntimeSettings", "ScalingPolicy", deque, logging,
            ]
        ),
        module(
            .services,
            "InvocationWorker",
            [
                "FaultModel", "FunctionModel", "InvocationEngine", "QueueContract", "RuntimeSettings", httpClient,
                logging,
                nioCore, nioHTTP1, nioPosix,
            ]
        ),
        module(
            .services,
            "WatchdogService",
            [
                "FunctionModel", "FunctionProcesses", "InvocationEngine", "ProcessControl", "ProviderContract",
                "Telemetry", nioCore, nioPosix,
            ]
        ),
        module(.services, "Dashboard", ["FunctionModel"]),
        module(.services, "FunctionBuilder", ["FaultModel", "FunctionModel", "ProcessControl", "YAMLReading"]),

        // Providers: their contract, its suite, and each back end.
        module(
            .providers,
            "ProcessProvider",
            [
                "FaultModel", "FunctionModel", "FunctionProcesses", "ProcessControl", "ProviderContract",
                "ReplicaSupervision", "RuntimeSettings", "StoreContract", crypto, logging, nioCore,
            ]
        ),
        module(
            .providers,
            "ReplicaSupervision",
            [
                "FaultModel", "FunctionModel", "FunctionProcesses", "ProcessControl", "ProviderContract",
                "StoreContract", logging, nioCore, nioPosix,
            ]
        ),
        module(
            .providers,
            "DockerProvider",
            [
                "DockerEngineClient", "FaultModel", "FunctionModel", "FunctionProcesses", "ProcessControl",
                "ProviderContract", "ReplicaSupervision", "RuntimeSettings", "StoreContract", logging, nioCore,
            ]
        ),
        module(
            .providers,
            "RemoteProvider",
            ["FaultModel", "FunctionModel", "ProviderContract", "RuntimeSettings", "SystemClient"]
        ),
        module(
            .providers,
            "ProviderConformance",
            ["FaultModel", "FunctionModel", "PromiseChecks", "ProviderContract"]
        ),
        module(.providers, "ProviderContract", ["FaultModel", "FunctionModel", deque]),
        module(
            .providers,
            "SQLiteStore",
            ["FaultModel", "FunctionModel", "ProcessControl", "SQLiteSchema", "StoreContract", sqlite]
        ),
        module(.providers, "StoreConformance", ["FaultModel", "FunctionModel", "PromiseChecks", "StoreContract"]),
        module(.providers, "StoreContract", ["FaultModel", "FunctionModel"]),

        // Queues: the same of those that keep calls.
        module(
            .queues,
            "SQLiteQueue",
            [
                "FaultModel", "FunctionModel", "ProcessControl", "QueueContract", "SQLiteSchema", deque, logging,
                nioCore, nioFoundation, sqlite, sqliteC,
            ]
        ),
        module(
            .queues,
            "JetStreamQueue",
            [
                "FaultModel", "FunctionModel", "NATSClient", "ProcessControl", "QueueContract", "RuntimeSettings",
                deque,
                heap, logging, nioCore, nioFoundation,
            ]
        ),
        module(
            .queues,
            "QueueConformance",
            ["FaultModel", "FunctionModel", "PromiseChecks", "QueueContract", nioCore]
        ),
        module(.queues, "QueueContract", ["FaultModel", "FunctionModel", deque, heap, nioCore]),

        // Engine: what carries out a call.
        module(.engine, "Telemetry", ["CProcessControl", "InvocationEngine", "ProcessControl", nioCore]),
        module(
            .engine,
            "InvocationEngine",
            ["FaultModel", "FunctionModel", "ProviderContract", deque, nioCore, nioPosix],
            hot
        ),
        module(
            .engine,
            "FunctionProcesses",
            ["FunctionModel", "ProcessControl", "ProviderContract", nioCore, nioPosix]
        ),

        module(
            .engine,
            "UpstreamTLS",
            ["FaultModel", "FunctionModel", "InvocationEngine", "TLSClient", nioCore, nioPosix, nioSSL, nioTLS]
        ),

        // Mechanisms: they know nothing of the life of functions.
        module(.mechanisms, "ScalingPolicy", ["FunctionModel", deque]),
        module(
            .mechanisms,
            "PrometheusClient",
            ["FaultModel", "FunctionModel", httpClient, nioCore, nioFoundation, nioHTTP1]
        ),
        module(
            .mechanisms,
            "SystemClient",
            [
                "FaultModel", "FunctionModel", "TLSClient", httpClient, nioCore, nioFoundation, nioHTTP1, nioPosix,
                nioSSL,
            ]
        ),
        module(
            .mechanisms,
            "DockerEngineClient",
            [
                "FaultModel", "FunctionModel", "TLSClient", httpClient, nioCore, nioFoundation, nioHTTP1, nioPosix,
            ]
        ),
        module(.mechanisms, "TLSClient", ["FaultModel", "FunctionModel", nioCore, nioPosix, nioSSL]),
        module(.mechanisms, "NATSClient", ["CNATS", "FaultModel", nioCore]),
        .target(name: "CNATS", path: "Sources/Mechanisms/CNATS"),
        module(.mechanisms, "ProcessControl", ["CProcessControl", deque]),
        .target(name: "CProcessControl", path: "Sources/Mechanisms/CProcessControl"),
        module(.mechanisms, "PromiseChecks", ["FaultModel"]),
        module(.mechanisms, "RuntimeSettings", ["FaultModel", "FunctionModel", "YAMLReading"]),
        module(.mechanisms, "SQLiteSchema", ["FaultModel", sqlite]),
        module(.mechanisms, "YAMLReading", [yaml]),

        // Vocabulary: no input, no output.
        module(.vocabulary, "FunctionModel", ["FaultModel"]),
        module(.vocabulary, "FaultModel"),

        // Support: what tests and measurements need.
        .target(
            name: "TestSupport",
            dependencies: ["ProcessControl", "SystemClient", httpClient, nioCore, nioPosix],
            path: "Tests/Support/TestSupport",
            swiftSettings: strict
        ),
        .target(name: "PowerLossRecorder", path: "Tests/Support/PowerLossRecorder"),
        .executableTarget(
            name: "EngineBench",
            dependencies: [
                "FunctionModel", "InvocationEngine", "ProviderContract", nioCore, nioPosix,
            ],
            path: "Benchmarks/EngineBench",
            swiftSettings: strict
        ),
        .executableTarget(name: "origin", path: "Benchmarks/Origin"),

        // Tests, in the same order.
        tests(
            .programs,
            of: "CommandLineTool",
            [
                "AutoscalerService", "FaultModel", "GatewayService", "InvocationWorker", "JetStreamQueue",
                "ProcessControl",
                "QueueContract", "RemoteProvider", "RuntimeSettings", "Telemetry", "TestSupport", arguments, logging,
            ]
        ),
        tests(
            .services,
            of: "GatewayService",
            [
                "Dashboard", "FaultModel", "FunctionModel", "InvocationEngine", "InvocationWorker",
                "ProviderConformance", "ProviderContract", "QueueConformance", "QueueContract", "SystemAPI",
                "TestSupport", httpTypes, hummingbird, lifecycle, logging, nioCore, nioPosix,
            ]
        ),
        tests(
            .services,
            of: "SystemAPI",
            [
                "FaultModel", "FunctionModel", "InvocationEngine", "ProviderConformance", "ProviderContract",
                "QueueConformance", "QueueContract", "RemoteProvider", "SystemClient", "TestSupport", httpTypes,
                hummingbird,
                logging, nioCore,
            ]
        ),
        tests(
            .services,
            of: "AutoscalerService",
            [
                "FaultModel", "FunctionModel", "InvocationEngine", "PrometheusClient", "ProviderConformance",
                "ProviderContract", "TestSupport", logging,
            ]
        ),
        tests(
            .services,
            of: "InvocationWorker",
            [
                "FaultModel", "FunctionModel", "InvocationEngine", "ProviderContract", "QueueConformance",
                "QueueContract", "TestSupport", logging, nioCore, nioPosix,
            ]
        ),
        tests(.services, of: "WatchdogService", ["ProviderContract"]),
        tests(.services, of: "FunctionBuilder", ["FaultModel", "FunctionModel", "ProcessControl", "TestSupport"]),
        tests(
            .providers,
            of: "ProcessProvider",
            [
                "FaultModel", "FunctionBuilder", "FunctionModel", "ProcessControl", "ProviderContract",
                "ReplicaSupervision", "SQLiteStore", "StoreContract", "TestSupport", logging,
            ]
        ),
        tests(
            .providers,
            of: "ReplicaSupervision",
            ["FaultModel", "FunctionModel", "ProcessControl", "TestSupport", nioCore, nioPosix]
        ),
        tests(
            .providers,
            of: "DockerProvider",
            [
                "DockerEngineClient", "FaultModel", "FunctionModel", "ProviderContract",
                "TestSupport",
            ]
        ),
        tests(.providers, of: "ProviderContract", ["FaultModel", "FunctionModel", "TestSupport"]),
        tests(
            .providers,
            of: "ProviderConformance",
            [
                "DockerProvider", "FaultModel", "FunctionModel", "GatewayService", "InvocationEngine",
                "ProcessProvider", "ProviderContract", "RemoteProvider", "ReplicaSupervision", "RuntimeSettings",
                "SQLiteStore", "SystemClient", "TestSupport", lifecycle, logging, nioCore, nioPosix,
            ]
        ),
        tests(
            .providers,
            of: "SQLiteStore",
            ["FaultModel", "FunctionModel", "StoreContract", "TestSupport", sqlite]
        ),
        tests(.providers, of: "StoreConformance", ["FaultModel", "SQLiteStore", "StoreContract", "TestSupport"]),
        tests(
            .queues,
            of: "SQLiteQueue",
            [
                "FaultModel", "FunctionModel", "ProcessControl", "QueueContract", "TestSupport", logging, nioCore,
                sqlite,
            ]
        ),
        tests(
            .queues,
            of: "JetStreamQueue",
            ["FaultModel", "FunctionModel", "NATSClient", "QueueContract", "TestSupport", logging, nioCore]
        ),
        tests(
            .queues,
            of: "QueueConformance",
            ["JetStreamQueue", "NATSClient", "QueueContract", "SQLiteQueue", "TestSupport", logging]
        ),
        tests(.queues, of: "QueueContract", ["FunctionModel", "TestSupport"]),
        tests(.engine, of: "Telemetry", ["ProcessControl", "TestSupport"]),
        tests(
            .engine,
            of: "InvocationEngine",
            [
                "FaultModel", "FunctionModel", "ProcessControl", "ProviderContract", "TestSupport", nioCore,
                nioEmbedded,
                nioPosix,
            ]
        ),
        tests(
            .engine,
            of: "UpstreamTLS",
            [
                "FaultModel", "FunctionModel", "InvocationEngine", "ProviderContract", "TestSupport", nioCore, nioPosix,
                nioSSL,
            ]
        ),
        tests(
            .engine,
            of: "FunctionProcesses",
            ["FunctionModel", "ProcessControl", "ProviderContract", "TestSupport", nioCore, nioPosix]
        ),
        tests(.mechanisms, of: "DockerEngineClient", ["FaultModel", "FunctionModel", "TestSupport", nioCore]),
        tests(.mechanisms, of: "SQLiteSchema", ["FaultModel", "TestSupport", sqlite]),
        tests(.mechanisms, of: "ScalingPolicy", ["FunctionModel", "TestSupport"]),
        tests(.mechanisms, of: "PrometheusClient", ["FaultModel", "ProcessControl", "TestSupport"]),
        tests(.mechanisms, of: "SystemClient", ["FaultModel", "FunctionModel", "TestSupport", httpClient]),
        tests(.mechanisms, of: "ProcessControl", ["TestSupport"]),
        tests(.mechanisms, of: "RuntimeSettings", ["FaultModel"]),
        tests(.mechanisms, of: "YAMLReading"),
        tests(.vocabulary, of: "FunctionModel", ["FaultModel", "TestSupport"]),
        tests(.vocabulary, of: "FaultModel"),
        .testTarget(
            name: "EndToEndTests",
            dependencies: [
                "FaultModel", "FunctionBuilder", "FunctionModel", "NATSClient", "ProcessControl", "PrometheusClient",
                "QueueContract", "SQLiteQueue", "SystemClient", "TestSupport", "fwatchdog", "martlet", "origin",
                crypto, httpClient, logging, nioCore,
            ],
            path: "Tests/Programs/EndToEndTests",
            swiftSettings: strict
        ),
    ],
    swiftLanguageModes: [.v6]
)
