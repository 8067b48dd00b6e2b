// SPDX-License-Identifier: Apache-2.0

public import FunctionModel
public import NIOCore
import ProviderContract
import Synchronization

/// The event loops that calls are carried out on.
///
/// There before the front door that opens them, so that what answers behind the door may itself ask them, or call
/// functions by them. Until then there is nothing to ask, and nothing may be called.
public final class EngineLoops: Sendable {
    let group: any EventLoopGroup
    let handles: [LoopHandle]
    private let turn = Atomic<Int>(0)

    /// Takes the event loops of a group.
    public init(group: any EventLoopGroup) {
        self.group = group
        handles = group.makeIterator().map { LoopHandle(loop: $0) }
    }

    /// Gives each loop what it needs; once.
    func open(_ parts: EngineParts) {
        for (index, handle) in handles.enumerated() {
            var siblings = handles
            siblings.remove(at: index)
            handle.open(parts, siblings)
        }
        for handle in handles { parts.table.attach(handle) }
    }

    /// The event loops in turn.
    func next() -> LoopHandle {
        handles[turn.add(1, ordering: .relaxed).oldValue & .max % handles.count]
    }

    /// What was counted, summed over the event loops.
    public func metrics() async throws -> [FunctionMetrics] {
        let sums = try await sum([FunctionID: FunctionMetrics]()) { $0.functions.addMetrics(to: &$1) }
        return sums.values.sorted { $0.id < $1.id }
    }

    /// How busy some functions are; those that are not known are left out.
    public func activity(of functions: [FunctionID]) async throws -> [FunctionID: FunctionActivity] {
        try await sum([:]) { $0.functions.addActivity(of: functions, to: &$1) }
    }

    private func sum<Sums: Sendable>(
        _ nothing: Sums,
        _ add: @escaping @Sendable (LoopParts, inout Sums) -> Void
    ) async throws -> Sums {
        var sums = nothing
        for handle in handles {
            let before = sums
            sums = try await handle.submit { context in
                var sums = before
                add(context, &sums)
                return sums
            }.get()
        }
        return sums
    }
}
