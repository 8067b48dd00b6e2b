// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import ProviderContract
import Testing

/// What a route says of calls whose variant is not known.
struct FunctionRouteTests {
    private func route(_ policies: (weight: Int, policy: CallPolicy)...) -> FunctionRoute {
        let variants = policies.enumerated().map { number, part in
            RouteVariant(revision: number + 1, weight: part.weight, replicas: [], policy: part.policy)
        }
        return FunctionRoute(id: FunctionID(name: "fn", namespace: "a"), variants: variants, desiredReplicas: 1)
    }

    @Test func `one variant's policy is the function's`() {
        let policy = CallPolicy(
            deadline: .seconds(3),
            maxInFlight: 2,
            queueDepth: 7,
            buffersRequestBody: true,
            retry: CallPolicy.Retry(attempts: 2),
            access: AccessMode(rawValue: "token"),
            methods: ["GET"]
        )
        #expect(route((1, policy)).commonPolicy == policy)
        #expect(route().commonPolicy == CallPolicy())
    }

    @Test func `of several that holds which no variant's call is cut short by, or let in by against its will`() {
        let old = CallPolicy(deadline: .seconds(3), queueDepth: 7, buffersRequestBody: true, methods: ["GET"])
        let new = CallPolicy(
            deadline: .seconds(5),
            queueDepth: 1,
            access: AccessMode(rawValue: "token"),
            methods: ["PUT", "GET"]
        )
        let common = route((9, old), (1, new)).commonPolicy
        #expect(common.deadline == .seconds(5) && common.queueDepth == 7 && !common.buffersRequestBody)
        #expect(common.methods == ["GET", "PUT"] && common.access.rawValue == "token")
        #expect(route((9, old), (0, new)).commonPolicy == old, "what gets no calls has no say")
        let endless = route((9, old), (1, CallPolicy())).commonPolicy
        #expect(endless.deadline == nil && endless.methods == nil)
    }
}
