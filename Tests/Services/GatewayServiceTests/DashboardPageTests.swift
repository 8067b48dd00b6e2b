// SPDX-License-Identifier: Apache-2.0

import Dashboard
import FunctionModel
import Testing

/// The page for people, as a text.
struct DashboardPageTests {
    private func html(_ capabilities: ProviderCapabilities) -> String {
        DashboardPage(
            functions: [],
            calls: [:],
            version: "1",
            provider: "faasd-ce",
            capabilities: capabilities,
            address: "http://127.0.0.1:8080"
        ).html
    }

    @Test func `what the provider cannot do is said, and what it runs is deployed`() {
        let bare = html(.none)
        for lack in ProviderLack.allCases where lack != .images {
            #expect(bare.contains(lack.predicate), "\(lack)")
        }
        #expect(bare.contains("martlet deploy NAME --image IMAGE"))
    }

    @Test func `nothing is said of a provider that can do everything`() {
        let full = html(.all)
        #expect(!full.contains("The provider") && full.contains("martlet deploy env --image host --fprocess env"))
    }
}
