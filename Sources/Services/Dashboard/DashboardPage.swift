// SPDX-License-Identifier: Apache-2.0

public import FunctionModel

/// The page for people: what runs, in which state, and how to call it.
///
/// Plain HTML without scripts; its style is a file of its own, so that nothing within the page has to be trusted.
public struct DashboardPage: Sendable {
    /// The functions of all namespaces.
    public var functions: [FunctionStatus]
    /// Their asynchronous calls.
    public var calls: [FunctionID: QueueNumbers]
    /// Martlet's version.
    public var version: String
    /// What runs the functions.
    public var provider: String
    /// What that can do.
    public var capabilities: ProviderCapabilities
    /// Where functions are called, as `http://127.0.0.1:8080`.
    public var address: String

    /// Describes a page.
    public init(
        functions: [FunctionStatus],
        calls: [FunctionID: QueueNumbers],
        version: String,
        provider: String,
        capabilities: ProviderCapabilities,
        address: String
    ) {
        self.functions = functions
        self.calls = calls
        self.version = version
        self.provider = provider
        self.capabilities = capabilities
        self.address = address
    }

    /// The whole document.
    public var html: String {
        """
        <!doctype html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>Martlet</title>
        <link rel="stylesheet" href="\(Self.stylePath)">
        </head>
        <body>
        <header><h1>Martlet</h1><p>\(escaped(version)) · \(escaped(provider)) · \(escaped(address))</p>\(lacks)</header>
        <main>
        \(functions.isEmpty ? emptyState : functions.map(card).joined(separator: "\n"))
        </main>
        <footer>Functions run with the rights of the user who started Martlet: deploy only what you trust.</footer>
        </body>
        </html>

        """
    }

    private var emptyState: String {
        """
        <section class="card"><h2>No functions yet</h2>
        <p>Deploy one from a terminal:</p>
        <pre>\(firstDeployment)</pre></section>
        """
    }

    /// Programs of the machine run where bundles do; elsewhere functions are images from a registry.
    private var firstDeployment: String {
        capabilities.lacks(.images)
            ? "martlet deploy NAME --image IMAGE" : "martlet deploy env --image host --fprocess env"
    }

    /// What people may miss; nothing where the provider can do everything.
    private var lacks: String {
        let missing = ProviderLack.allCases.filter { $0 != .images && capabilities.lacks($0) }
        guard !missing.isEmpty else { return "" }
        return "<p>The provider \(missing.map(\.predicate).joined(separator: ", ")).</p>"
    }

    private func card(_ function: FunctionStatus) -> String {
        let state = function.martlet?.state.rawValue ?? (function.availableReplicas > 0 ? "ready" : "starting")
        let reason = function.martlet?.reason ?? ""
        return """
            <section class="card">
            <h2>\(escaped(function.name)) <small>\(escaped(function.namespace))</small>
            <span class="state \(escaped(state))">\(escaped(state))</span></h2>
            \(reason.isEmpty ? "" : "<p class=\"reason\">\(escaped(reason))</p>")
            <dl><dt>Replicas</dt><dd>\(function.availableReplicas) of \(function.replicas)</dd>
            <dt>Invocations</dt><dd>\(function.invocations)</dd>
            \(asynchronous(function.id))
            <dt>Image</dt><dd>\(escaped(function.image))</dd></dl>
            <pre>curl \(escaped(address))/function/\(escaped(function.id.description))</pre>
            </section>
            """
    }

    /// Nothing for a function that never had an asynchronous call.
    private func asynchronous(_ function: FunctionID) -> String {
        guard let numbers = calls[function], numbers.accepted > 0 else { return "" }
        let states = [
            (numbers.waiting, "waiting"), (numbers.running, "running"), (numbers.dead, "dead"),
            (numbers.succeeded, "succeeded"),
        ]
        let words = states.filter { $0.0 > 0 || $0.1 == "succeeded" }.map { "\($0.0) \($0.1)" }
        return "<dt>Asynchronous</dt><dd>\(words.joined(separator: ", "))</dd>"
    }

    private func escaped(_ text: String) -> String { HTMLText.escaped(text) }

    /// The path of the style, beside the page.
    public static let stylePath = "/ui/style.css"

    /// The style's text (CSS).
    public static let style = """
        :root { color-scheme: light dark; --line: #d5dae1; --soft: #5b6675; --card: #fff; --back: #f5f6f8; }
        @media (prefers-color-scheme: dark) {
          :root { --line: #333b46; --soft: #9aa5b4; --card: #1b2027; --back: #12161b; } }
        body { margin: 0 auto; max-width: 62rem; padding: 1.5rem 1rem; background: var(--back);
          font: 16px/1.5 system-ui, sans-serif; }
        h1 { margin: 0; font-size: 1.6rem; } h2 { margin: 0; font-size: 1.1rem; } small { color: var(--soft);
          font-weight: normal; }
        header p, footer { color: var(--soft); margin: .2rem 0 1.2rem; font-size: .9rem; }
        .card { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: 1rem;
          margin: 0 0 1rem; }
        dl { display: flex; flex-wrap: wrap; gap: .2rem 1.6rem; margin: .6rem 0; } dt { color: var(--soft); }
        dd { margin: 0 0 0 -1.1rem; overflow-wrap: anywhere; }
        pre { margin: 0; padding: .6rem; background: var(--back); border-radius: .4rem; overflow-x: auto;
          font-size: .85rem; }
        .state { float: right; font-size: .85rem; font-weight: normal; padding: 0 .6rem; border-radius: 1rem;
          border: 1px solid currentColor; color: var(--soft); }
        .ready { color: #1a7f45; } .starting, .updating { color: #9a6700; } .failing { color: #c4322b; }
        .reason { color: #c4322b; margin: .4rem 0; }

        """
}
