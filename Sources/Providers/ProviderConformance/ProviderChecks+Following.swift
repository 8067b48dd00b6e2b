// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import PromiseChecks
import ProviderContract

/// What providers promise about numbers of replicas, and to those who follow them.
extension ProviderChecks {
    static let scaling: [ProviderCheck] = [
        ProviderCheck("scaling answers with what was accepted") { subject in
            try await subject.provider.create(subject.healthy("fn", variant: "a"))
            let accepted = try await subject.provider.scale(subject.id("fn"), to: 1)
            try expect(accepted == 1, "\(accepted) were accepted")
        },
        ProviderCheck("what does not exist cannot be woken") { subject in
            try await expectFault(.functionNotFound, .notFound, doing: "waking") { () throws(PlatformFault) in
                try await subject.provider.wake(subject.id("nothing"), atLeast: 1)
            }
        },
        ProviderCheck("a function at zero is woken", when: \.scalesToZero) { subject in
            try await subject.provider.create(subject.healthy("fn", variant: "a"))
            try await subject.awaitReady("fn")
            try await subject.provider.scale(subject.id("fn"), to: 0)
            _ = try await subject.awaitRoute("fn", "no replica") { $0.replicas.isEmpty && $0.desiredReplicas == 0 }
            let accepted = try await subject.provider.wake(subject.id("fn"), atLeast: 1)
            try expect(accepted == 1, "\(accepted) were accepted")
            try await subject.awaitReady("fn")
        },
        ProviderCheck("waking never lowers a number", when: \.runsSeveralReplicas) { subject in
            let (provider, id) = (subject.provider, subject.id("fn"))
            try await provider.create(subject.healthy("fn", variant: "a"))
            try await provider.scale(id, to: 3)
            let accepted = try await provider.wake(id, atLeast: 1)
            let status = try await provider.function(id, includingUsage: false)
            try expect(accepted == 3 && status.replicas == 3, "\(accepted) were accepted, \(status.replicas) desired")
        },
        ProviderCheck("two that wake a function do not undo each other", when: \.wakesSeveral) { subject in
            let (provider, id) = (subject.provider, subject.id("fn"))
            try await provider.create(subject.healthy("fn", variant: "a"))
            for _ in 0..<5 {
                try await provider.scale(id, to: 0)
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for least in [1, 3, 2, 1, 2] { group.addTask { try await provider.wake(id, atLeast: least) } }
                    try await group.waitForAll()
                }
                let status = try await provider.function(id, includingUsage: false)
                try expect(status.replicas == 3, "\(status.replicas) are desired")
            }
        },
    ]

    static let following: [ProviderCheck] = [
        ProviderCheck("a route tells its variants, paths, annotations and state") { subject in
            var deployment = subject.healthy("fn", variant: "a")
            deployment.annotations = ["topic": "x", PlatformLabel.path.name: "/shop"]
            try await subject.provider.create(deployment)
            let route = try await subject.awaitRoute("fn", "ready") { !$0.replicas.isEmpty && $0.state == .ready }
            try expect(route.variants.map(\.weight) == [1], "the weights are \(route.variants.map(\.weight))")
            try expect(
                route.revision == 1 && route.replicas.allSatisfy { $0.revision == 1 },
                "revision \(route.revision) is told, and of replicas \(route.replicas.map(\.revision))"
            )
            try expect(route.paths == ["/shop"], "the paths are \(route.paths)")
            try expect(route.annotations["topic"] == "x", "the annotations are \(route.annotations)")
        },
        ProviderCheck("a slow follower gets the newest state, and no history", when: \.runsSeveralReplicas) { subject in
            let (provider, id) = (subject.provider, subject.id("fn"))
            try await provider.create(subject.healthy("fn", variant: "a"))
            try await subject.awaitReady("fn")
            let slow = provider.watch()
            _ = try await subject.next(of: slow, "what there is")
            for _ in 0..<20 {
                for replicas in 1...3 { try await provider.scale(id, to: replicas) }
            }
            try await subject.awaitReady("fn", replicas: 3)
            for _ in 1...10 {
                let update = try await subject.next(of: slow, "the newest state")
                if update.routes.contains(where: { $0.desiredReplicas == 3 && $0.replicas.count > 0 }) { return }
            }
            throw BrokenPromise(description: "more than 10 updates were kept")
        },
        ProviderCheck("many functions at once are all told of") { subject in
            let names = (0..<subject.crowd).map { "fn\($0)" }
            let provider = subject.provider
            async let known = subject.awaitFunctions(Set(names))
            try await withThrowingTaskGroup(of: Void.self) { group in
                for (index, name) in names.enumerated() {
                    if index >= 16 { try await group.next() }
                    group.addTask { try await provider.create(subject.healthy(name, variant: "a")) }
                }
                try await group.waitForAll()
            }
            try await known
            let listed = try await provider.functions(in: subject.defaultNamespace)
            try expect(listed.count == names.count, "\(listed.count) are listed")
        },
        ProviderCheck("lost contact is told, keeps what was told before, and is told to be had again") { subject in
            guard let contact = subject.contact else { return }
            try await subject.provider.create(subject.healthy("fn", variant: "a"))
            try await subject.awaitReady("fn")
            let updates = subject.provider.watch()
            let before = try await subject.next(of: updates, "what there is").routes.first
            contact.lose(PlatformFault(.providerUnreachable, "There is no answer."))
            guard case .lost(let fault) = try await subject.next(of: updates, "lost contact") else {
                throw BrokenPromise(description: "something else was told than lost contact")
            }
            try expect(fault.code == .providerUnreachable, "it was lost for \(fault.code.rawValue)")
            try expect(before?.replicas.first?.isDraining == false, "calls in flight were turned away")
            contact.hearAgain()
            guard case .heardAgain = try await subject.next(of: updates, "contact that is had again") else {
                throw BrokenPromise(description: "something else was told than contact that is had again")
            }
        },
    ]
}

extension ProviderCapabilities {
    fileprivate var wakesSeveral: Bool { scalesToZero && runsSeveralReplicas }
}

extension ProviderUnderTest {
    /// Waits until a router would know of functions, each with a ready replica.
    fileprivate func awaitFunctions(_ names: Set<String>) async throws {
        let provider = provider
        // Many replicas have to be started for that.
        _ = try await inTime("not all of \(names.count) functions were told of in time", times: 15) {
            var missing = names
            for await update in provider.watch() {
                for route in update.routes where !route.replicas.isEmpty { missing.remove(route.id.name) }
                if missing.isEmpty { return true }
            }
            return nil
        }
    }
}
