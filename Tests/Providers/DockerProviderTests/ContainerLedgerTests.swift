// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import DockerProvider

struct ContainerLedgerTests {
    private var ledger = ContainerLedger()

    init() {
        ledger.follow("a")
        ledger.follow("b")
    }

    private func event(
        _ action: String,
        _ container: String = "a",
        status: Int? = nil,
        at milliseconds: Int = 0
    )
        -> ContainerLedger.Event
    {
        ContainerLedger.Event(
            action: action,
            container: container,
            exitStatus: status,
            nanoseconds: milliseconds * 1_000_000
        )
    }

    // MARK: Events

    @Test mutating func `a container that dies has ended with its status, once`() {
        #expect(ledger.take(event("die", status: 3)) == .exited(status: 3))
        #expect(ledger.take(event("die", status: 3)) == nil)
        #expect(ledger.take(event("destroy")) == nil)
        #expect(ledger.containers == ["b"])
    }

    @Test(arguments: [
        "create", "start", "kill", "stop", "pause", "unpause", "health_status: healthy", "exec_die: x", "?",
    ])
    mutating func `nothing else ends one`(action: String) {
        #expect(ledger.take(event(action, status: 1)) == nil)
        #expect(ledger.containers.contains("a"))
    }

    @Test mutating func `one that is removed by somebody has ended`() {
        #expect(ledger.take(event("destroy")) == .removed)
    }

    @Test mutating func `containers of others are nobody's business`() {
        #expect(ledger.take(event("die", "x", status: 1)) == nil)
        #expect(ledger.take(event("oom", "x")) == nil)
    }

    @Test mutating func `a kill for memory is told as that`() {
        #expect(ledger.take(event("oom", at: 1000)) == nil)
        #expect(ledger.take(event("die", status: 137, at: 1050)) == .outOfMemory)
    }

    @Test mutating func `a child that is killed for memory does not end the container, nor count at a later end`() {
        #expect(ledger.take(event("oom", at: 1000)) == nil)
        #expect(ledger.containers.contains("a"))
        #expect(ledger.take(event("die", status: 137, at: 60_000)) == .exited(status: 137))
        #expect(ledger.take(event("oom", "b", at: 1000)) == nil)
        #expect(ledger.take(event("die", "b", status: 1, at: 1100)) == .exited(status: 1))
    }

    @Test mutating func `times that make no sense trap nobody`() {
        var killed = event("oom")
        killed.nanoseconds = .min
        #expect(ledger.take(killed) == nil)
        var dead = event("die", status: 137)
        dead.nanoseconds = .max
        #expect(ledger.take(dead) != nil)
    }

    // MARK: Lists

    private func look(_ container: String, _ status: String, exit: Int = 0, oom: Bool = false) -> ContainerLedger.Look {
        ContainerLedger.Look(container: container, status: status, exitStatus: exit, wasOutOfMemory: oom)
    }

    @Test mutating func `a list tells of the ends that nobody was told of`() {
        let ends = ledger.take([look("a", "exited", exit: 2), look("b", "running")], asked: ["a", "b"])
        #expect(ends.map(\.container) == ["a"] && ends.map(\.end) == [.exited(status: 2)])
        #expect(ledger.containers == ["b"])
    }

    @Test mutating func `one that is not listed any more was removed`() {
        let ends = ledger.take([look("b", "running")], asked: ["a", "b"])
        #expect(ends.map(\.end) == [.removed])
    }

    @Test mutating func `one that is followed only since the list was asked for is not missed in it`() {
        ledger.follow("c")
        #expect(ledger.take([look("a", "running"), look("b", "running")], asked: ["a", "b"]).isEmpty)
        #expect(ledger.containers == ["a", "b", "c"])
    }

    @Test(arguments: ["created", "running", "paused"])
    mutating func `one that is there has not ended, whatever it once ran out of`(status: String) {
        #expect(ledger.take([look("a", status, oom: true)], asked: ["a"]).isEmpty)
    }

    @Test(arguments: ["exited", "dead", "removing", "something new"])
    mutating func `one in any other state has`(status: String) {
        #expect(ledger.take([look("a", status, exit: 137, oom: true)], asked: ["a"]).map(\.end) == [.outOfMemory])
    }

    // MARK: Sentences

    @Test(arguments: [
        (ContainerEnd.exited(status: 0), "exited with status 0 after 1.5 s"),
        (.exited(status: 3), "exited with status 3 after 1.5 s"),
        (.exited(status: 137), "was ended by signal 9 after 1.5 s"),
        (.exited(status: 255), "exited with status 255 after 1.5 s"),
        (.exited(status: 127), "could not run its program (exit status 127)"),
        (.outOfMemory, "ran out of memory (limit 64Mi)"),
        (.removed, "was removed from the engine after 1.5 s"),
    ])
    func `an end is told in a sentence`(end: ContainerEnd, words: String) {
        #expect(end.sentence(afterSeconds: 1.46, memoryLimit: "64Mi") == words)
    }
}
