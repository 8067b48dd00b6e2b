// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
// Whoever runs a check needs what it is.
@_exported public import PromiseChecks
import ProviderContract

/// The promises of `FunctionProvider`, one check each. A test target runs all of them on its provider:
///
/// ```swift
/// @Test(arguments: ProviderChecks.all)
/// func keeps(check: ProviderCheck) async throws { try await check.run(on: MyProviderUnderTest()) }
/// ```
public enum ProviderChecks {
    /// All promises.
    public static let all: [ProviderCheck] =
        functions + routing + scaling + following + logs + secrets + namespaces + images + capabilities
        + durability

    private static let functions: [ProviderCheck] = [
        ProviderCheck("a created function is listed and described as it was deployed") { subject in
            var deployment = subject.healthy("fn", variant: "a")
            deployment.labels = ["team": "one"]
            deployment.annotations = ["topic": "x"]
            try await subject.provider.create(deployment)
            let listed = try await subject.provider.functions(in: subject.defaultNamespace)
            let status = try await subject.provider.function(subject.id("fn"), includingUsage: false)
            try expect(listed.map(\.name) == ["fn"], "the list is \(listed.map(\.name))")
            try expect(status.labels?["team"] == "one", "labels are \(status.labels ?? [:])")
            try expect(status.annotations?["topic"] == "x", "annotations are \(status.annotations ?? [:])")
            try expect(status.image == deployment.image, "the image is \(status.image)")
            try expect(status.namespace == subject.defaultNamespace, "the namespace is \(status.namespace)")
        },
        ProviderCheck("creating twice is a fault and changes nothing") { subject in
            try await subject.provider.create(subject.healthy("fn", variant: "a"))
            try await expectFault(.alreadyExists, doing: "creating again") { () throws(PlatformFault) in
                try await subject.provider.create(subject.healthy("fn", variant: "b"))
            }
            let status = try await subject.provider.function(subject.id("fn"), includingUsage: false)
            try expect(
                status.martlet.map { $0.revision == 1 } ?? true,
                "the revision is \(status.martlet?.revision ?? 0)"
            )
        },
        ProviderCheck("what does not exist cannot be described, updated, scaled or removed") { subject in
            let id = subject.id("nothing")
            try await expectFault(.functionNotFound, .notFound, doing: "status") { () throws(PlatformFault) in
                _ = try await subject.provider.function(id, includingUsage: false)
            }
            try await expectFault(.functionNotFound, .notFound, doing: "update") { () throws(PlatformFault) in
                try await subject.provider.update(subject.healthy("nothing", variant: "a"))
            }
            try await expectFault(.functionNotFound, .notFound, doing: "scale") { () throws(PlatformFault) in
                try await subject.provider.scale(id, to: 1)
            }
            try await expectFault(.functionNotFound, .notFound, doing: "delete") { () throws(PlatformFault) in
                try await subject.provider.delete(id)
            }
        },
        ProviderCheck("names that break the rules and unknown references are refused") { subject in
            for name in ["", "Up", "a/b", "..", "a.b"] {
                var deployment = subject.healthy("fn", variant: "a")
                deployment.service = name
                try await expectFault(.invalidValue, doing: "creating \"\(name)\"") { () throws(PlatformFault) in
                    try await subject.provider.create(deployment)
                }
            }
            var lonely = subject.healthy("fn", variant: "a")
            lonely.namespace = "nowhere"
            try await expectFault(.namespaceMissing, doing: "an unknown namespace") { () throws(PlatformFault) in
                try await subject.provider.create(lonely)
            }
            var secretive = subject.healthy("fn", variant: "a")
            secretive.secrets = ["unheard-of"]
            try await expectFault(.secretMissing, doing: "an unknown secret") { () throws(PlatformFault) in
                try await subject.provider.create(secretive)
            }
            let left = try await subject.provider.functions(in: subject.defaultNamespace)
            try expect(left.isEmpty, "refused deployments left \(left.map(\.name))")
        },
        ProviderCheck("a further path is one function's, whoever comes second and however it is spelt") { subject in
            let provider = subject.provider
            func deployment(_ name: String, _ path: String) -> FunctionDeployment {
                var deployment = subject.healthy(name, variant: "a")
                deployment.annotations = [PlatformLabel.path.name: path]
                return deployment
            }
            try await provider.create(deployment("shop", "/shop, /store/"))
            for path in ["/store", "/store/", "/%73tore", "/a, /store", "/shop", "/shop/cart"] {
                try await expectFault(.conflict, doing: "taking \(path)") { () throws(PlatformFault) in
                    try await provider.create(deployment("cart", path))
                }
            }
            try await expectFault(.conflict, doing: "taking a path for a name") { () throws(PlatformFault) in
                try await provider.create(deployment("store", "/else"))
            }
            try await provider.create(deployment("cart", "/store/cart"))
            try await expectFault(.conflict, doing: "taking a path by an update") { () throws(PlatformFault) in
                try await provider.update(deployment("cart", "/store"))
            }
            try await provider.update(deployment("shop", "/till"))
            _ = try await subject.awaitRoute("shop", "its new path") { $0.paths == ["/till"] }
            try await provider.update(deployment("cart", "/store"))
        },
        ProviderCheck("an update makes a new revision, an equal one does not") { subject in
            try await subject.provider.create(subject.healthy("fn", variant: "a"))
            try await subject.awaitReady("fn")
            let none = try await subject.provider.update(subject.healthy("fn", variant: "a"))
            let same = try await subject.provider.function(subject.id("fn"), includingUsage: false)
            try expect(same.martlet?.revision == 1, "an equal update made revision \(same.martlet?.revision ?? 0)")
            try expect(none == .unchanged, "an equal update was told as \(none)")
            let one = try await subject.provider.update(subject.healthy("fn", variant: "b"))
            let changed = try await subject.provider.function(subject.id("fn"), includingUsage: false)
            try expect(changed.martlet?.revision == 2, "the revision is \(changed.martlet?.revision ?? 0)")
            try expect(one == .newRevision, "another deployment was told as \(one)")
        },
        ProviderCheck("an equal update that is forced, and a restart, make a new revision that serves") { subject in
            let (provider, id) = (subject.provider, subject.id("fn"))
            try await provider.create(subject.healthy("fn", variant: "a"))
            try await subject.awaitReady("fn")
            let outcome = try await provider.update(subject.healthy("fn", variant: "a"), forced: true)
            try expect(outcome == .newRevision, "a forced update was told as \(outcome)")
            _ = try await subject.awaitRoute("fn", "revision 2") { $0.revision == 2 && !$0.replicas.isEmpty }
            try await provider.restart(id)
            _ = try await subject.awaitRoute("fn", "revision 3") { $0.revision == 3 && !$0.replicas.isEmpty }
            let none = try await provider.update(subject.healthy("fn", variant: "a"))
            let status = try await provider.function(id, includingUsage: false)
            try expect(none == .unchanged && status.martlet?.revision == 3, "what is restarted is not the same")
            try await expectFault(.functionNotFound, doing: "restarting nothing") { () throws(PlatformFault) in
                try await provider.restart(subject.id("nothing"))
            }
        },
        ProviderCheck("a function read and written back is the same, with its name among its labels") { subject in
            let (provider, id) = (subject.provider, subject.id("fn"))
            try await provider.create(subject.healthy("fn", variant: "a"))
            let status = try await provider.function(id, includingUsage: false)
            let listed = try await provider.functions(in: subject.defaultNamespace)
            for labels in [status.labels] + listed.map(\.labels) {
                try expect(labels == ["faas_function": "fn"], "the labels are \(labels ?? [:])")
            }
            var again = subject.healthy("fn", variant: "a")
            again.labels = status.labels
            try await provider.update(again)
            again.labels = ["faas_function": "other"]
            (again.annotations, again.constraints, again.secrets, again.namespace) = ([:], [], [], "")
            (again.limits, again.readOnlyRootFilesystem) = (FunctionResources(), false)
            try await provider.update(again)
            let same = try await provider.function(id, includingUsage: false)
            try expect(same.martlet.map { $0.revision == 1 } ?? true, "an equal deployment made a revision")
            try expect(same.labels == ["faas_function": "fn"], "the labels are \(same.labels ?? [:])")
            again.labels = ["faas_function": "other", "team": "one"]
            try await provider.update(again)
            let changed = try await provider.function(id, includingUsage: false)
            try expect(
                changed.labels == ["faas_function": "fn", "team": "one"],
                "the labels are \(changed.labels ?? [:])"
            )
            try expect(changed.martlet.map { $0.revision == 2 } ?? true, "another label made no revision")
        },
        ProviderCheck("a minimum label gives as many replicas at once", when: \.runsSeveralReplicas) { subject in
            var deployment = subject.healthy("fn", variant: "a")
            deployment.labels = ["com.openfaas.scale.min": "2"]
            try await subject.provider.create(deployment)
            try await subject.awaitReady("fn", replicas: 2)
        },
        ProviderCheck("usage is told when it is asked for", when: \.reportsUsage) { subject in
            try await subject.provider.create(subject.healthy("fn", variant: "a"))
            try await subject.awaitReady("fn")
            let status = try await subject.provider.function(subject.id("fn"), includingUsage: true)
            try expect(status.usage != nil, "there is no usage")
            let plain = try await subject.provider.function(subject.id("fn"), includingUsage: false)
            try expect(plain.usage == nil, "usage was not asked for")
        },
        ProviderCheck("the provider says what it is and that it is well") { subject in
            try await subject.provider.checkHealth()
            let info = try await subject.provider.info()
            try expect(!info.provider.isEmpty && !info.orchestration.isEmpty, "the info is \(info)")
        },
    ]

    private static let routing: [ProviderCheck] = [
        ProviderCheck("readiness is pushed") { subject in
            try await subject.provider.create(subject.healthy("fn", variant: "a"))
            let route = try await subject.awaitRoute("fn", "a ready replica") { !$0.replicas.isEmpty }
            try expect(route.replicas.allSatisfy { !$0.isDraining }, "a draining replica was pushed")
            let status = try await subject.provider.function(subject.id("fn"), includingUsage: false)
            try expect(status.availableReplicas > 0, "status says \(status.availableReplicas) ready")
        },
        ProviderCheck("a new watcher gets a snapshot first") { subject in
            try await subject.provider.create(subject.healthy("fn", variant: "a"))
            try await subject.awaitReady("fn")
            let first = try await subject.next(of: subject.provider.watch(), "what there is")
            guard case .snapshot(let routes) = first else {
                throw BrokenPromise(description: "\(first) came first")
            }
            try expect(routes.map(\.id) == [subject.id("fn")], "the snapshot holds \(routes.map(\.id))")
        },
        ProviderCheck("to zero and from zero", when: \.scalesToZero) { subject in
            try await subject.provider.create(subject.healthy("fn", variant: "a"))
            try await subject.awaitReady("fn")
            try await subject.provider.scale(subject.id("fn"), to: 0)
            _ = try await subject.awaitRoute("fn", "no replica") { $0.replicas.isEmpty && $0.desiredReplicas == 0 }
            try await subject.provider.scale(subject.id("fn"), to: 1)
            try await subject.awaitReady("fn")
        },
        ProviderCheck("after an update at zero replicas the new revision is woken", when: \.scalesToZero) { subject in
            let id = subject.id("fn")
            try await subject.provider.create(subject.healthy("fn", variant: "a"))
            try await subject.awaitReady("fn")
            try await subject.provider.scale(id, to: 0)
            _ = try await subject.awaitRoute("fn", "no replica") { $0.replicas.isEmpty && $0.desiredReplicas == 0 }
            try await subject.provider.update(subject.healthy("fn", variant: "b"))
            // Watched from before: an old revision may answer for a moment only.
            async let woken = subject.awaitRoute("fn", "a woken replica") { !$0.replicas.isEmpty }
            try await subject.provider.scale(id, to: 1)
            let revision = try await woken.revision
            try expect(revision == 2, "revision \(revision) was woken")
        },
        ProviderCheck("a new revision that fails to wake leaves the calls to the old one", when: \.scalesToZero) {
            subject in
            try await subject.provider.create(subject.healthy("fn", variant: "a"))
            try await subject.awaitReady("fn")
            try await subject.provider.scale(subject.id("fn"), to: 0)
            _ = try await subject.awaitRoute("fn", "no replica") { $0.replicas.isEmpty && $0.desiredReplicas == 0 }
            try await subject.provider.update(subject.failing("fn"))
            try await subject.provider.scale(subject.id("fn"), to: 1)
            let route = try await subject.awaitRoute("fn", "a woken replica") { !$0.replicas.isEmpty }
            try expect(route.revision == 1, "revision \(route.revision) was woken")
        },
        ProviderCheck("an update keeps the number of replicas", when: \.runsSeveralReplicas) { subject in
            try await subject.provider.create(subject.healthy("fn", variant: "a"))
            try await subject.provider.scale(subject.id("fn"), to: 2)
            try await subject.awaitReady("fn", replicas: 2)
            try await subject.provider.update(subject.healthy("fn", variant: "b"))
            _ = try await subject.awaitRoute("fn", "revision 2") { $0.revision == 2 && !$0.replicas.isEmpty }
            let status = try await subject.provider.function(subject.id("fn"), includingUsage: false)
            try expect(status.replicas == 2, "\(status.replicas) replicas are desired")
        },
        ProviderCheck("a revision that does not become ready leaves the old one serving") { subject in
            try await subject.provider.create(subject.healthy("fn", variant: "a"))
            try await subject.awaitReady("fn")
            try await subject.provider.update(subject.failing("fn"))
            let route = try await subject.awaitRoute("fn", "the old revision") {
                $0.revision == 1 && !$0.replicas.isEmpty
            }
            try expect(route.revision == 1, "revision \(route.revision) serves")
        },
        ProviderCheck("a removed function is pushed as gone") { subject in
            try await subject.provider.create(subject.healthy("fn", variant: "a"))
            try await subject.awaitReady("fn")
            try await subject.provider.delete(subject.id("fn"))
            _ = try await subject.inTime("its end was not pushed in time") {
                for await event in subject.provider.watch() {
                    switch event {
                    case .snapshot(let routes) where routes.isEmpty: return true
                    case .removed(let id) where id == subject.id("fn"): return true
                    default: continue
                    }
                }
                return nil
            }
        },
    ]

    private static let secrets: [ProviderCheck] = [
        ProviderCheck("secrets are made, replaced, listed and removed", when: \.secrets) { subject in
            let (secrets, namespace) = (try subject.secrets, subject.defaultNamespace)
            try await secrets.createSecret("b-key", in: namespace, value: [1, 2, 0, 255])
            try await secrets.createSecret("a-key", in: namespace, value: [])
            let names = try await secrets.secrets(in: namespace)
            try expect(names == ["a-key", "b-key"], "the names are \(names)")
            try await expectFault(.alreadyExists, doing: "making one twice") { () throws(PlatformFault) in
                try await secrets.createSecret("a-key", in: namespace, value: [1])
            }
            try await secrets.updateSecret("a-key", in: namespace, value: [3])
            try await expectFault(.notFound, doing: "replacing what is not there") { () throws(PlatformFault) in
                try await secrets.updateSecret("c-key", in: namespace, value: [3])
            }
            try await secrets.deleteSecret("a-key", in: namespace)
            try await expectFault(.notFound, doing: "removing what is not there") { () throws(PlatformFault) in
                try await secrets.deleteSecret("a-key", in: namespace)
            }
        },
        ProviderCheck("a changed secret reaches whom the provider declares", when: \.secrets) { subject in
            let (secrets, namespace) = (try subject.secrets, subject.defaultNamespace)
            try await secrets.createSecret("key", in: namespace, value: [1])
            var deployment = subject.healthy("fn", variant: "a")
            deployment.secrets = ["key"]
            try await subject.provider.create(deployment)
            try await subject.awaitReady("fn")
            let reach = try await secrets.updateSecret("key", in: namespace, value: [2])
            let declared = subject.provider.capabilities.replacesSecrets
            try expect((reach == .runningReplicas) == declared, "\(reach) see it, declared is \(declared)")
            let status = try await subject.provider.function(subject.id("fn"), includingUsage: false)
            try expect(status.martlet.map { $0.revision == 1 } ?? true, "a changed secret made a revision")
        },
        ProviderCheck("a secret in use is not removed", when: \.secrets) { subject in
            let (secrets, namespace) = (try subject.secrets, subject.defaultNamespace)
            try await secrets.createSecret("key", in: namespace, value: [1])
            var deployment = subject.healthy("fn", variant: "a")
            deployment.secrets = ["key"]
            try await subject.provider.create(deployment)
            try await subject.awaitReady("fn")
            try await expectFault(.conflict, doing: "removing it") { () throws(PlatformFault) in
                try await secrets.deleteSecret("key", in: namespace)
            }
            // The old revision serves on, and its replicas may have to be started again.
            try await subject.provider.update(subject.failing("fn"))
            try await expectFault(.conflict, doing: "removing what serves") { () throws(PlatformFault) in
                try await secrets.deleteSecret("key", in: namespace)
            }
            try await subject.provider.delete(subject.id("fn"))
            try await secrets.deleteSecret("key", in: namespace)
        },
        ProviderCheck("a secret is listed whatever its name ends in", when: \.secrets) { subject in
            let (secrets, namespace) = (try subject.secrets, subject.defaultNamespace)
            let unique = "0f8fad5b-d9cb-469f-a165-70867728950e"
            let longest = String(repeating: "a", count: 63) + String(repeating: ".b", count: 95)
            let names = ["key", "key.new", "key.\(unique).new", "new", "a.lock", "a.tmp", longest].sorted()
            for name in names { try await secrets.createSecret(name, in: namespace, value: [1]) }
            let listed = try await secrets.secrets(in: namespace)
            try expect(listed == names, "the names are \(listed)")
            for name in names { try await secrets.deleteSecret(name, in: namespace) }
            let left = try await secrets.secrets(in: namespace)
            try expect(left.isEmpty, "\(left) are left")
        },
        ProviderCheck("a secret's name is never a path", when: \.secrets) { subject in
            let secrets = try subject.secrets
            for name in ["../key", "a/b", ""] {
                try await expectFault(.invalidValue, doing: "\"\(name)\"") { () throws(PlatformFault) in
                    try await secrets.createSecret(name, in: subject.defaultNamespace, value: [1])
                }
                try await expectFault(.invalidValue, doing: "\"\(name)\"") { () throws(PlatformFault) in
                    try await secrets.deleteSecret(name, in: subject.defaultNamespace)
                }
            }
        },
    ]

    private static let namespaces: [ProviderCheck] = [
        ProviderCheck("namespaces are made, described, changed and removed", when: \.namespaces) { subject in
            let namespaces = try subject.namespaces
            try await namespaces.createNamespace(NamespaceRecord(name: "team", labels: ["a": "1", "openfaas": "1"]))
            let names = try await subject.provider.namespaceNames()
            try expect(names == [subject.defaultNamespace, "team"], "the namespaces are \(names)")
            try await expectFault(.alreadyExists, doing: "making one twice") { () throws(PlatformFault) in
                try await namespaces.createNamespace(NamespaceRecord(name: "team", labels: ["openfaas": "1"]))
            }
            try await namespaces.updateNamespace(NamespaceRecord(name: "team", labels: ["b": "2", "openfaas": "1"]))
            let record = try await namespaces.namespace("team")
            try expect(record.labels?["b"] == "2" && record.labels?["a"] == nil, "labels are \(record.labels ?? [:])")
            try await namespaces.deleteNamespace("team")
            try await expectFault(.notFound, doing: "describing it") { () throws(PlatformFault) in
                _ = try await namespaces.namespace("team")
            }
        },
        ProviderCheck("a namespace that holds something is not removed", when: { $0.namespaces && $0.secrets }) {
            subject in
            let (namespaces, secrets) = (try subject.namespaces, try subject.secrets)
            try await namespaces.createNamespace(NamespaceRecord(name: "team", labels: ["openfaas": "1"]))
            for name in ["key", "key.new"] {
                try await secrets.createSecret(name, in: "team", value: [1])
                try await expectFault(.conflict, .alreadyExists, doing: "removing it") { () throws(PlatformFault) in
                    try await namespaces.deleteNamespace("team")
                }
                try await secrets.deleteSecret(name, in: "team")
            }
            try await expectFault(.conflict, .alreadyExists, doing: "removing the default") {
                () throws(PlatformFault) in
                try await namespaces.deleteNamespace(subject.defaultNamespace)
            }
        },
        ProviderCheck("functions of one name live apart in two namespaces", when: \.namespaces) { subject in
            let provider = subject.provider
            try await subject.namespaces.createNamespace(NamespaceRecord(name: "team", labels: ["openfaas": "1"]))
            var other = subject.healthy("fn", variant: "b")
            other.namespace = "team"
            try await provider.create(subject.healthy("fn", variant: "a"))
            try await provider.create(other)
            try await provider.delete(FunctionID(name: "fn", namespace: "team"))
            let left = try await provider.functions(in: subject.defaultNamespace)
            try expect(left.map(\.name) == ["fn"], "left are \(left.map(\.name))")
        },
    ]
}
