// SPDX-License-Identifier: Apache-2.0

import Dispatch
import FunctionModel
import Glibc
import NIOCore
import QueueContract
import Synchronization
import Testing

@testable import SQLiteQueue

struct JournalSyncsTests {
    private let syncs = JournalSyncs()

    /// A group that accepts a call; its sync fails where there is nothing to sync.
    private func written(_ id: String, settling token: UInt64 = 0, isWhole: Bool = true) -> WrittenGroup {
        var group = JournalGroup(now: 0, entry: JournalEntry())
        let call = NewCall(function: FunctionID(name: "fn", namespace: "openfaas-fn"), body: ByteBuffer(), callID: id)
        group.add(.accepted(AcceptedCall(call, file: nil, id: id)))
        group.settled = [token]
        return WrittenGroup(group: group, entry: isWhole ? nil : CallJournal.Written(sequence: 1, descriptor: -1))
    }

    /// What was decided about groups, in that order.
    private final class Decisions: Sendable {
        private let made = Mutex<[(id: String, code: Int32)]>([])

        var codes: [Int32] { made.withLock { $0.map(\.code) } }
        var ids: [String] { made.withLock { $0.map(\.id) } }

        func add(_ id: String, _ code: Int32) { made.withLock { $0.append((id, code)) } }
    }

    /// Lets groups set out one behind another, the first of which is only decided when all are on their way.
    private func sync(_ groups: [(id: String, isWhole: Bool)], meanwhile look: () -> Void = {}) -> Decisions {
        let decisions = Decisions()
        let release = DispatchSemaphore(value: 0)
        for (place, (id, isWhole)) in groups.enumerated() {
            syncs.sync(written(id, settling: UInt64(place), isWhole: isWhole), whileOthersFollow: true) { code in
                if place == 0 { release.wait() }
                decisions.add(id, code)
            } ended: { isKept in
                #expect(isKept == (decisions.codes[place] == 0))
            }
        }
        look()
        release.signal()
        syncs.wait(leaving: 0)
        return decisions
    }

    @Test func `groups become true in their order, whichever was synced first`() {
        let ids = (0..<20).map { "\($0)" }
        let decisions = sync(ids.map { ($0, true) })
        #expect(decisions.ids == ids)
        #expect(decisions.codes.allSatisfy { $0 == 0 })
        #expect(syncs.areAllKept() && !syncs.takeFailure())
    }

    @Test func `a group that cannot be synced takes those behind it with it, and none before it`() {
        let decisions = sync([("a", true), ("b", false), ("c", true), ("d", true)])
        #expect(decisions.codes == [0, EBADF, EIO, EIO])
        #expect(!syncs.areAllKept())
        // Written behind it by somebody who had not heard of it yet.
        #expect(sync([("late", true)]).codes == [EIO])
        #expect(syncs.takeFailure() && !syncs.takeFailure())
        #expect(sync([("e", true)]).codes == [0])
    }

    @Test func `what is on its way is known until it is decided`() {
        _ = sync([("a", true), ("b", true)]) {
            #expect(syncs.accepts("a") && syncs.accepts("b") && !syncs.accepts("c"))
            #expect(syncs.settles(0) && syncs.settles(1) && !syncs.settles(2))
        }
        #expect(!syncs.accepts("a") && !syncs.accepts("b"))
        #expect(!syncs.settles(0) && !syncs.settles(1))
    }
}
