// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import ProviderContract

/// What of-watchdog's variables say (contract §15.2).
struct WatchdogSettings {
    /// How calls are carried out (contract §15.4).
    enum Mode: String, CaseIterable {
        case http
        case streaming
        case serializing
        case files = "static"
    }

    /// Everything that is wrong, a sentence each.
    struct Problems: Error {
        let sentences: [String]
    }

    let mode: Mode
    let command: [String]
    let upstream: Upstream?
    let address: String
    let port: Int
    let metricsPort: Int
    let headerTimeout: Duration
    /// Longest head in bytes; each field counts 32 more.
    let headLimit: Int
    let readTimeout: Duration
    let writeTimeout: Duration
    /// Nil means none.
    let execTimeout: Duration?
    /// How long calls are still taken after SIGTERM.
    let healthcheckInterval: Duration
    let contentType: String
    let staticPath: String
    let writesLock: Bool
    let buffersBody: Bool
    let maxInFlight: Int?
    let prefixesLogs: Bool
    let logsCallID: Bool
    let logLineLimit: Int?
    let readyPath: String?
    let environment: [String: String]

    init(_ environment: [String: String]) throws(Problems) {
        var reader = VariableReader(environment)
        self.environment = environment
        mode = reader.mode()
        command = (reader.text("function_process") ?? reader.text("fprocess") ?? "").split(separator: " ")
            .map(String.init)
        upstream = reader.upstream("http_upstream_url", "upstream_url")
        address = reader.text("listen_address") ?? ""
        port = reader.number("port", in: 0...65_535, 8080)
        metricsPort = reader.number("metrics_port", in: 0...65_535, 8081)
        headerTimeout = reader.duration("header_timeout", .seconds(10))
        // Twice the gateway's, which adds to what its clients send.
        headLimit = reader.number("head_limit", in: 1024...16_777_216, 131_072)
        readTimeout = reader.duration("read_timeout", .seconds(30))
        writeTimeout = reader.duration("write_timeout", .seconds(30))
        let limit = reader.duration("exec_timeout", .seconds(30))
        execTimeout = limit == .zero ? nil : limit
        healthcheckInterval = reader.duration("healthcheck_interval", writeTimeout)
        contentType = reader.text("content_type") ?? "application/octet-stream"
        staticPath = reader.text("static_path") ?? "/home/app/public"
        writesLock = !reader.flag("suppress_lock", false)
        buffersBody = reader.flag("http_buffer_req_body", false) || reader.flag("buffer_http", false)
        let places = reader.number("max_inflight", in: 0...Int(Int32.max), 0)
        maxInFlight = places == 0 ? nil : places
        prefixesLogs = reader.flag("prefix_logs", true)
        logsCallID = reader.flag("log_callid", false)
        let lineLimit = reader.number("log_buffer_size", in: -1...Int(Int32.max), 65_536)
        logLineLimit = lineLimit < 0 ? nil : max(1, lineLimit)
        readyPath = reader.text("ready_path").map { $0.hasPrefix("/") ? $0 : "/" + $0 }
        reader.refuseTokens()
        if writeTimeout == .zero { reader.problems.append("HTTP write timeout must be over 0s") }
        if readTimeout == .zero { reader.problems.append("HTTP read timeout must be over 0s") }
        if headerTimeout == .zero { reader.problems.append("HTTP header timeout must be over 0s") }
        if mode != .files, command.isEmpty {
            reader.problems.append(
                "provide a \"function_process\" or \"fprocess\" environmental variable for your function"
            )
        }
        if mode == .http, upstream == nil {
            reader.problems.append("For \"mode=http\" you must specify a valid URL for \"http_upstream_url\"")
        }
        guard reader.problems.isEmpty else { throw Problems(sentences: reader.problems) }
    }
}

/// Reads single variables and gathers what is wrong with them.
private struct VariableReader {
    let environment: [String: String]
    var problems: [String] = []

    init(_ environment: [String: String]) { self.environment = environment }

    /// An empty value counts as absent.
    func text(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }

    func flag(_ name: String, _ fallback: Bool) -> Bool { text(name).map { ["true", "1"].contains($0) } ?? fallback }

    mutating func mode() -> WatchdogSettings.Mode {
        guard let word = text("mode") else { return .streaming }
        if let mode = WatchdogSettings.Mode(rawValue: word) { return mode }
        let words = WatchdogSettings.Mode.allCases.map(\.rawValue).joined(separator: ", ")
        let why = word == "inproc" ? ", which is a library of Go's" : ""
        problems.append("mode is \"\(NameRule.printable(word))\"\(why); use one of \(words)")
        return .streaming
    }

    mutating func duration(_ name: String, _ fallback: Duration) -> Duration {
        guard let text = text(name) else { return fallback }
        if let duration = GoDuration.parse(text) { return duration }
        problems.append("\(name) is \"\(NameRule.printable(text))\", which is not a duration; write it as 30s")
        return fallback
    }

    mutating func number(_ name: String, in range: ClosedRange<Int>, _ fallback: Int) -> Int {
        guard let text = text(name) else { return fallback }
        if let number = Int(text), range.contains(number) { return number }
        problems.append(
            "\(name) is \"\(NameRule.printable(text))\"; use a number from \(range.lowerBound) to \(range.upperBound)"
        )
        return fallback
    }

    mutating func upstream(_ names: String...) -> Upstream? {
        for name in names {
            guard let text = text(name) else { continue }
            if let upstream = Upstream(url: text) { return upstream }
            problems.append("\(name) is \"\(NameRule.printable(text))\"; write it as http://127.0.0.1:5000")
        }
        return nil
    }

    /// Whoever asks for tokens to be checked must not believe himself protected (contract §15.9).
    mutating func refuseTokens() {
        guard flag("jwt_auth", false) else { return }
        problems.append("jwt_auth is true, and this watchdog checks no tokens: everybody could call the function")
    }
}
