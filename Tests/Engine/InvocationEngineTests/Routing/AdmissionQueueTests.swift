// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import NIOCore
import NIOEmbedded
import ProviderContract
import Synchronization
import TestSupport
import Testing

@testable import InvocationEngine

/// Where a call waits for a slot, without a socket.
struct AdmissionQueueTests {
    /// What the queue tells those who wait, in its order.
    private final class Told: Sendable {
        private let outcomes = Mutex<[String]>([])

        var all: [String] { outcomes.withLock { $0 } }

        func call(_ name: String, on loop: any EventLoop) -> WaitingCall {
            WaitingCall(loop: loop) { [self] outcome in
                let what =
                    switch outcome {
                    case .entered(let replica): "in at \(replica.id)"
                    case .refused(let fault): "refused: \(fault.code.rawValue)"
                    case .moved: "moved"
                    }
                outcomes.withLock { $0.append("\(name) \(what)") }
            }
        }
    }

    private static let id = FunctionID(name: "fn", namespace: "openfaas-fn")
    private let asked = Counter()
    private let told = Told()
    private let loop = EmbeddedEventLoop()
    private let queue: AdmissionQueue

    init() {
        queue = AdmissionQueue(id: Self.id) { [asked] _, _ in asked.add() }
    }

    private static func replica(_ name: String, slots: Int? = 1) -> Replica {
        Replica(id: name, target: Upstream(.unix(path: "/nowhere")), maxInFlight: slots)
    }

    private func serve(_ replicas: [Replica], desired: Int? = nil, depth: Int = 100) {
        var policy = CallPolicy()
        policy.queueDepth = depth
        let desired = desired ?? replicas.count
        queue.update(
            FunctionRoute(id: Self.id, revision: 1, desiredReplicas: desired, policy: policy, replicas: replicas)
        )
    }

    @discardableResult
    private func admit(_ name: String, isPatient: Bool = false, waitingLimit: Int = 100) -> String {
        switch queue.admit(told.call(name, on: loop), isPatient: isPatient, waitingLimit: waitingLimit) {
        case .entered(let replica): "in at \(replica.id)"
        case .waiting: "waits"
        case .full: "full"
        case .crowded: "crowded"
        case .ended(let outcome): if case .moved = outcome { "moved" } else { "ended" }
        }
    }

    /// What those who waited have been told by now.
    private func heard() -> [String] {
        loop.run()
        return told.all
    }

    @Test func `the replica with the fewest calls takes the next`() {
        let (one, other) = (Self.replica("a", slots: 3), Self.replica("b", slots: 3))
        serve([one, other])
        #expect(one.enter())
        #expect(admit("1") == "in at b")
        #expect(["in at a", "in at b"].contains(admit("2")))
        #expect(one.inFlight + other.inFlight == 3)
    }

    @Test func `those who wait come in by their order, each by the slot of one that leaves`() {
        let replica = Self.replica("a")
        serve([replica])
        #expect(admit("1") == "in at a")
        #expect(admit("2") == "waits" && admit("3") == "waits")
        #expect(heard().isEmpty)
        queue.leave(replica)
        #expect(heard() == ["2 in at a"])
        queue.leave(replica)
        #expect(heard() == ["2 in at a", "3 in at a"])
        #expect(!queue.hasWaiting && asked.count == 0)
    }

    @Test(arguments: [(0, "full"), (1, "waits")])
    func `behind full replicas as many wait as the function's queue is deep`(depth: Int, second: String) {
        serve([Self.replica("a")], depth: depth)
        admit("1")
        #expect(admit("2") == second)
        #expect(admit("3") == "full")
        #expect(admit("4", isPatient: true) == "waits", "patient ones are bounded by others")
    }

    @Test(arguments: [(0, "crowded"), (1, "waits")])
    func `without a replica as many wait as the gateway lets, and the first who asks wakes one`(
        limit: Int,
        first: String
    ) {
        #expect(admit("1", waitingLimit: limit) == first)
        #expect(admit("2", waitingLimit: limit) == "crowded")
        #expect(asked.count == 1)
    }

    @Test func `a replica that becomes ready lets in as many as it has slots`() {
        for number in 1...3 { admit("\(number)") }
        serve([Self.replica("a", slots: 2)])
        #expect(heard() == ["1 in at a", "2 in at a"])
        #expect(queue.hasWaiting)
    }

    @Test func `a function scaled to zero under those who wait is asked for again`() {
        serve([], desired: 1)
        #expect(admit("1") == "waits" && asked.count == 0)
        serve([], desired: 0)
        #expect(asked.count == 1 && queue.isStillActivating)
    }

    @Test func `one that gave up is passed over, and cannot give up twice or once it is in`() {
        let replica = Self.replica("a")
        serve([replica])
        admit("1")
        let (second, third) = (told.call("2", on: loop), told.call("3", on: loop))
        for call in [second, third] { _ = queue.admit(call, isPatient: false, waitingLimit: 9) }
        #expect(queue.giveUp(second) && !queue.giveUp(second))
        queue.leave(replica)
        #expect(heard() == ["3 in at a"])
        #expect(!queue.giveUp(third))
    }

    @Test func `who waits for a function that goes is told, and who comes later`() {
        admit("1")
        queue.refuseWaiting(AdmissionQueue.deleted(Self.id), forGood: true)
        #expect(heard() == ["1 refused: function-not-found"])
        #expect(admit("2") == "ended" && !queue.hasWaiting)
        serve([Self.replica("b")])
        #expect(admit("3") == "in at b", "one of its name that comes again is another matter")
    }

    @Test func `who waits where no calls go any more is drawn anew`() {
        admit("1")
        queue.moveWaiting()
        #expect(heard() == ["1 moved"])
        #expect(admit("2") == "moved")
    }

    @Test func `a draining replica counts neither as free nor as full`() {
        let replica = Self.replica("a")
        serve([replica], depth: 0)
        replica.drain {}
        #expect(admit("1") == "waits", "for its successor")
    }

    @Test func `whatever happens, each who waited hears one outcome, and no slot is lost`() {
        var chance = SeededGenerator()
        let seed = chance.description
        let replicas = [Self.replica("a", slots: 2), Self.replica("b", slots: 3)]
        var (held, waiting, givenUp, number) = ([Replica](), [String: WaitingCall](), 0, 0)
        var hasHeard = 0
        for _ in 0..<2000 {
            switch Int.random(in: 0..<6, using: &chance) {
            case 0, 1, 2:
                number += 1
                let call = told.call("\(number)", on: loop)
                switch queue.admit(call, isPatient: false, waitingLimit: 50) {
                case .entered(let replica): held.append(replica)
                case .waiting: waiting["\(number)"] = call
                default: break
                }
            case 3:
                if let replica = held.popLast() { queue.leave(replica) }
            case 4:
                if let (name, call) = waiting.randomElement(using: &chance), queue.giveUp(call) {
                    waiting[name] = nil
                    givenUp += 1
                }
            default: serve(Bool.random(using: &chance) ? replicas : [replicas[0]], desired: 1)
            }
            for outcome in heard().dropFirst(hasHeard) {
                hasHeard += 1
                let words = outcome.split(separator: " ")
                #expect(waiting.removeValue(forKey: String(words[0])) != nil, "told once; seed \(seed)")
                held += replicas.filter { $0.id == words.last.map(String.init) }
            }
        }
        #expect(replicas.map(\.inFlight).reduce(0, +) == held.count, "seed \(seed)")
    }
}
