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
let nioFoundation: Target.Dependency = .product(name: "NIOFoundationCompat", package: "swift-nio")
let nioSSL: Target.Dependency = .product(name: "NIOSSL", package: "swift-nio-ssl")
let nioHTTP1: Target.Dependency = .product(name: "NIOHTTP1", package: "swift-nio")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let hummingbird: Target.Dependency = .product(name: "Hummingbird", package: "hummingbird")
let httpTypes: Target.Dependency = .product(name: "HTTPTypes", package: "swift-http-types")
let httpClient: Target.Dependency = .product(name: "AsyncHTTPClient", package: "async-http-client")
let sqlite: Target.Dependency = .product(name: "GRDB", package: "GRDB.swift")
let sqliteC: Target.Dependency = .product(name: "GRDBSQLite", package: "GRDB.swift")
let deque: Target.Dependency = .product(name: "DequeModule", package: "swift-collections")
let heap: Target.Dependency = .product(name: "HeapModule", package: "swift-collections")
let crypto: Target.Dependency = .product(name: "Crypto", package: "swift-crypto")
let yaml: Target.Dependency = .product(name: "Yams", package: "Yams")
let arguments: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")

/// A Swift target with the settings that all of ours share.
func module(_ name: String, _ dependencies: [Target.Dependency] = [], _ more: [SwiftSetting] = []) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: strict + more)
}

/// For what runs per request: exclusive access is checked where the tests run, in debug builds, and costs nothing later.
let hot: [SwiftSetting] = [.unsafeFlags(["-enforce-exclusivity=unchecked"], .when(configuration: .release))]

func tests(of name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .testTarget(
        name: "\(name)Tests",
        dependencies: [.target(name: name)] + dependencies,
        swiftSettings: strict
    )
}

let package = Package(
    name: "martlet",
    platforms: [.macOS(.v26)],
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
    ],
    targets: [
        // Executables: a screenful each.
        .executableTarget(name: "martlet", dependencies: ["CommandLineTool", arguments], swiftSettings: strict),

        .executableTarget(name: "fwatchdog", dependencies: ["WatchdogService"], swiftSettings: strict),

        // The engine alone, for counting what a call costs; not among the products.
        .executableTarget(
            name: "EngineBench",
            dependencies: [
                "FunctionModel", "InvocationEngine", "ProviderContract", nioCore, nioPosix,
            ],
            path: "Benchmarks/EngineBench",
            swiftSettings: strict
        ),

        // The function of benchmarks and tests: a server in C that starts in a millisecond.
        .executableTarget(name: "origin", path: "Benchmarks/Origin"),

        // Services.
        module(
            "CommandLineTool",
            [
                "Dashboard", "FaultModel", "FunctionBuilder", "FunctionModel", "GatewayService", "InvocationEngine",
                "InvocationWorker", "JetStreamQueue", "NATSClient", "ProcessControl", "ProcessProvider",
                "PrometheusClient", "ProviderContract",
                "QueueContract", "RemoteProvider", "RuntimeSettings", "SQLiteQueue", "SystemAPI", "SystemClient",
                "Telemetry",
                "YAMLReading", arguments, httpClient, logging, nioCore, nioPosix, nioSSL,
                yaml,
            ]
        ),
        module(
            "GatewayService",
            [
                "AutoscalerService", "Dashboard", "FaultModel", "FunctionModel", "InvocationEngine", "InvocationWorker",
                "PrometheusClient", "ProviderContract", "QueueContract", "SystemAPI", "Telemetry", httpTypes,
                hummingbird, logging, nioCore,
            ]
        ),
        module(
            "AutoscalerService",
            [
                "FaultModel", "FunctionModel", "InvocationEngine", "PrometheusClient", "ProviderContract",
                "ScalingPolicy", deque, logging,
            ]
        ),
        module(
            "SystemAPI",
            [
                "FaultModel", "FunctionModel", "InvocationEngine", "ProviderContract", "QueueContract", crypto,
                httpTypes, hummingbird, logging, nioCore,
            ]
        ),
        module(
            "WatchdogService",
            [
                "FunctionModel", "FunctionProcesses", "InvocationEngine", "ProcessControl", "ProviderContract",
                "Telemetry", nioCore, nioPosix,
            ]
        ),
        module(
            "InvocationWorker",
            [
                "FaultModel", "FunctionModel", "InvocationEngine", "QueueContract", httpClient, logging, nioCore,
                nioHTTP1, nioPosix,
            ]
        ),
        module("Dashboard", ["FunctionModel"]),
        module("FunctionBuilder", ["FaultModel", "FunctionModel", "ProcessControl", "YAMLReading"]),

        // Back ends: never imported by a service.
        module(
            "ProcessProvider",
            [
                "FaultModel", "FunctionModel", "FunctionProcesses", "ProcessControl", "ProviderContract", crypto,
                logging, nioCore, nioPosix, sqlite,
            ]
        ),
        module(
            "RemoteProvider",
            ["FaultModel", "FunctionModel", "ProviderContract", "SystemClient"]
        ),

        module(
            "SQLiteQueue",
            [
                "FaultModel", "FunctionModel", "ProcessControl", "QueueContract", deque, logging, nioCore,
                nioFoundation,
                sqlite, sqliteC,
            ]
        ),

        module(
            "JetStreamQueue",
            [
                "FaultModel", "FunctionModel", "NATSClient", "ProcessControl", "QueueContract", crypto, deque, heap,
                logging, nioCore, nioFoundation,
            ]
        ),

        // Contracts.
        module("QueueContract", ["FaultModel", "FunctionModel", deque, heap, nioCore]),
        module("ProviderContract", ["FaultModel", "FunctionModel"]),

        // Mechanisms that know nothing of functions' life.
        module("ScalingPolicy", ["FunctionModel", deque]),
        module("InvocationEngine", ["FaultModel", "FunctionModel", "ProviderContract", deque, nioCore, nioPosix], hot),
        module(
            "FunctionProcesses",
            ["FunctionModel", "ProcessControl", "ProviderContract", nioCore, nioPosix]
        ),
        module("PrometheusClient", ["FaultModel", "FunctionModel", httpClient, nioCore, nioFoundation, nioHTTP1]),
        module("SystemClient", ["FaultModel", "FunctionModel", httpClient, nioCore, nioFoundation, nioHTTP1, nioSSL]),
        module("NATSClient", ["CNATS", "FaultModel", nioCore]),
        .target(name: "CNATS"),
        module("ProcessControl", ["CProcessControl", deque]),
        .target(name: "CProcessControl"),
        module("RuntimeSettings", ["FaultModel", "FunctionModel", "YAMLReading"]),
        module("YAMLReading", [yaml]),
        module("Telemetry", ["CProcessControl", "InvocationEngine", "ProcessControl", nioCore]),

        // Vocabulary: no input, no output.
        module("FunctionModel", ["FaultModel"]),
        module("FaultModel"),

        // Test support.
        module("QueueConformance", ["FaultModel", "FunctionModel", "QueueContract", deque, nioCore]),
        module("ProviderConformance", ["FaultModel", "FunctionModel", "ProviderContract"]),
        module(
            "TestSupport",
            ["ProcessControl", "SystemClient", httpClient, nioCore, nioPosix]
        ),

        .target(name: "PowerLossRecorder", path: "Tests/PowerLossRecorder"),

        // Tests.
        tests(of: "FaultModel"),
        tests(of: "FunctionModel", ["FaultModel", "TestSupport"]),
        tests(
            of: "InvocationEngine",
            ["FaultModel", "FunctionModel", "ProcessControl", "ProviderContract", "TestSupport", nioCore, nioPosix]
        ),
        tests(of: "FunctionProcesses", ["ProcessControl", "ProviderContract", "TestSupport", nioCore, nioPosix]),
        tests(of: "ProcessControl", ["TestSupport"]),
        tests(
            of: "ProcessProvider",
            [
                "FaultModel", "FunctionBuilder", "FunctionModel", "ProcessControl", "ProviderContract", "TestSupport",
                logging, nioCore, nioPosix,
            ]
        ),
        tests(
            of: "CommandLineTool",
            ["FaultModel", "ProcessControl", "SystemClient", "Telemetry", "TestSupport", logging]
        ),
        tests(of: "GatewayService", ["FaultModel", "FunctionModel", "InvocationEngine", "TestSupport"]),
        tests(
            of: "SystemAPI",
            [
                "FaultModel", "FunctionModel", "InvocationEngine", "ProviderConformance", "ProviderContract",
                "QueueConformance", "QueueContract", "TestSupport", httpTypes, hummingbird, logging, nioCore,
            ]
        ),
        tests(of: "SystemClient", ["FaultModel", "FunctionModel", "TestSupport", httpClient]),
        tests(of: "FunctionBuilder", ["FaultModel", "FunctionModel", "ProcessControl", "TestSupport"]),
        tests(of: "RuntimeSettings", ["FaultModel"]),
        tests(of: "Telemetry", ["ProcessControl", "TestSupport"]),
        tests(of: "YAMLReading"),
        tests(of: "WatchdogService", ["ProviderContract"]),
        tests(of: "ScalingPolicy", ["FunctionModel", "TestSupport"]),
        tests(
            of: "AutoscalerService",
            [
                "FaultModel", "FunctionModel", "InvocationEngine", "PrometheusClient", "ProviderConformance",
                "ProviderContract", "SystemClient", "TestSupport", logging,
            ]
        ),
        tests(of: "QueueContract", ["FunctionModel", "TestSupport"]),
        tests(
            of: "InvocationWorker",
            ["FaultModel", "FunctionModel", "QueueConformance", "QueueContract", "TestSupport", logging, nioCore]
        ),
        tests(
            of: "SQLiteQueue",
            [
                "FaultModel", "FunctionModel", "ProcessControl", "QueueContract", "TestSupport", logging, nioCore,
                sqlite,
            ]
        ),
        tests(
            of: "JetStreamQueue",
            ["FaultModel", "FunctionModel", "NATSClient", "QueueContract", "TestSupport", logging, nioCore]
        ),
        tests(
            of: "QueueConformance",
            ["JetStreamQueue", "NATSClient", "QueueContract", "SQLiteQueue", "TestSupport", logging]
        ),
        tests(
            of: "ProviderConformance",
            [
                "FaultModel", "FunctionModel", "GatewayService", "InvocationEngine", "ProcessProvider",
                "ProviderContract", "RemoteProvider", "SystemClient", "TestSupport", logging, nioCore, nioPosix,
            ]
        ),
        .testTarget(
            name: "EndToEndTests",
            dependencies: [
                "FaultModel", "FunctionBuilder", "FunctionModel", "NATSClient", "ProcessControl", "PrometheusClient",
                "QueueContract", "SQLiteQueue", "SystemClient", "TestSupport", "fwatchdog", "martlet", "origin",
                crypto, httpClient, logging, nioCore,
            ],
            swiftSettings: strict
        ),
    ],
    swiftLanguageModes: [.v6]
)
