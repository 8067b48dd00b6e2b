// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import ProviderContract
import Testing

/// How many calls a function's replicas take at a time.
struct RouteSlotsTests {
    private func slots(_ variants: (weight: Int, limit: Int?)...) -> Int? {
        let variants = variants.map { weight, limit in
            RouteVariant(revision: 1, weight: weight, replicas: [], policy: CallPolicy(maxInFlight: limit))
        }
        return FunctionRoute(id: FunctionID(name: "fn", namespace: "a"), variants: variants, desiredReplicas: 0).slots
    }

    @Test func `variants that get calls have theirs together, and one without a limit makes it endless`() {
        #expect(slots((1, 2)) == 2 && slots((1, 2), (3, 4)) == 6)
        #expect(slots((1, 2), (1, nil)) == nil && slots((1, 2), (0, nil)) == 2)
    }

    @Test func `where no variant gets calls there is no limit that its calls would wait for`() {
        #expect(slots() == nil && slots((0, 2)) == nil && slots((0, 2), (0, 3)) == nil)
    }
}
