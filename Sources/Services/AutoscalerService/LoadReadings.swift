// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import PrometheusClient
import ProviderContract

/// Loads that have to be asked for: CPU and memory of the provider, everything else of Prometheus.
///
/// Asked beside the autoscaler's beat, so that whoever is slow to answer delays nobody else.
actor LoadReadings {
    /// What is known of one function's load.
    enum Reading: Equatable {
        case value(Double)
        /// Why there is none.
        case unknown(String)
    }

    /// A function and what its load is.
    struct Question: Sendable {
        var id: FunctionID
        var mode: ScalingRules.Mode
    }

    private struct Entry {
        var reading: Reading
        var mode: ScalingRules.Mode
        var askedAt: Duration
        var answeredAt: Duration
        var isBeingAsked = false
        /// Since when there is no answer.
        var failingSince: Timestamp?
    }

    private let provider: any FunctionProvider
    private let prometheus: PrometheusClient?
    private var entries: [FunctionID: Entry] = [:]
    /// Prometheus itself learns of a load only when it scrapes.
    private static let prometheusInterval = Duration.seconds(5)
    private static let usageInterval = Duration.milliseconds(900)
    /// An answer that is older says nothing any more, in intervals.
    private static let validity = 4

    init(provider: any FunctionProvider, prometheus: PrometheusClient?) {
        self.provider = provider
        self.prometheus = prometheus
    }

    /// Whether a mode's load has to be asked for.
    static func concerns(_ mode: ScalingRules.Mode) -> Bool {
        switch mode {
        case .rps, .capacity, .queue: false
        case .cpu, .memory, .query, .rule: true
        }
    }

    /// What is known now, and the questions whose time has come; the caller has each answered by `ask`.
    func look(
        _ questions: [Question],
        now: Duration
    ) -> (readings: [FunctionID: Reading], due: [Question]) {
        let wanted = Set(questions.map(\.id))
        entries = entries.filter { wanted.contains($0.key) }
        var (readings, due): ([FunctionID: Reading], [Question]) = ([:], [])
        for question in questions {
            let interval = Self.interval(question.mode)
            var entry = entries[question.id].flatMap { $0.mode == question.mode ? $0 : nil }
            if let known = entry {
                let isOld = now - known.answeredAt > interval * Self.validity
                if isOld, case .value = known.reading { entry?.reading = .unknown("the answer is overdue") }
            }
            var kept =
                entry
                ?? Entry(
                    reading: .unknown("nothing was asked yet"),
                    mode: question.mode,
                    askedAt: .zero,
                    answeredAt: now
                )
            readings[question.id] = kept.reading
            if !kept.isBeingAsked, entry == nil || now - kept.askedAt >= interval {
                kept.isBeingAsked = true
                kept.askedAt = now
                due.append(question)
            }
            entries[question.id] = kept
        }
        return (readings, due)
    }

    private static func interval(_ mode: ScalingRules.Mode) -> Duration {
        switch mode {
        case .query, .rule: prometheusInterval
        default: usageInterval
        }
    }

    /// Asks one question and keeps the answer.
    func ask(_ question: Question, now: @Sendable () -> Duration) async {
        var (reading, fault): (Reading?, PlatformFault?)
        do throws(PlatformFault) { reading = try await answer(question) } catch { fault = error }
        guard var entry = entries[question.id], entry.mode == question.mode else { return }
        entry.failingSince = fault == nil ? nil : entry.failingSince ?? .now()
        if let fault, let since = entry.failingSince { reading = .unknown("\(fault.message) It is so since \(since).") }
        entry.reading = reading ?? entry.reading
        entry.answeredAt = now()
        entry.isBeingAsked = false
        entries[question.id] = entry
    }

    private func answer(_ question: Question) async throws(PlatformFault) -> Reading {
        switch question.mode {
        case .rps, .capacity, .queue: return .unknown("it is counted, not asked for")
        case .cpu, .memory:
            guard provider.capabilities.reportsUsage,
                let usage = try await provider.function(question.id, includingUsage: true).usage
            else {
                return .unknown("the provider does not tell what functions use")
            }
            let value = question.mode == .cpu ? usage.cpu : usage.totalMemoryBytes
            guard value.isFinite, value >= 0 else { return .unknown("the provider says \(value)") }
            return .value(value)
        case .query(let expression):
            return try await ask(expression.replacing("$function_name", with: "\(question.id)"), of: question.id)
        case .rule(let name):
            let labels = "function_name=\"\(question.id)\",scaling_type=\"\(name)\""
            return try await ask("job:function_current_load:sum{\(labels)}", of: question.id)
        }
    }

    private func ask(_ expression: String, of id: FunctionID) async throws(PlatformFault) -> Reading {
        guard let prometheus else { return .unknown("no Prometheus is configured (faas_prometheus_host)") }
        let samples = try await prometheus.query(expression)
        let own = samples.filter { $0.labels["function_name"] == id.description }
        let meant = own.isEmpty ? samples : own
        guard let sample = meant.first else { return .unknown("Prometheus has no value for it") }
        guard meant.count == 1 else { return .unknown("Prometheus has \(meant.count) values for it: sum them") }
        guard sample.value.isFinite, sample.value >= 0 else { return .unknown("Prometheus says \(sample.value)") }
        return .value(sample.value)
    }
}
