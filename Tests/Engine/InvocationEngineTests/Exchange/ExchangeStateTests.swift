// SPDX-License-Identifier: Apache-2.0

import NIOCore
import TestSupport
import Testing

@testable import InvocationEngine

/// What becomes of a call, without a socket: one row for each transition, and histories of chance.
struct ExchangeStateTests {
    /// One thing that happens, and what the state says to it.
    struct Step: Sendable {
        let name: String
        let apply: @Sendable (inout ExchangeState) -> String

        static let begin = Step(name: "a head") {
            $0.begin()
            return ""
        }
        static let collect = Step(name: "its body has to be whole") {
            $0.collect()
            return ""
        }
        static let wait = Step(name: "no slot is free") {
            _ = $0.waitForSlot()
            return ""
        }
        static let outcome = Step(name: "the outcome of its wait") { $0.endWait($0.turn) ? "its own" : "nobody's" }
        static let lateOutcome = Step(name: "the outcome of an earlier wait") {
            $0.endWait($0.turn &- 1) ? "its own" : "nobody's"
        }
        static let slot = Step(name: "a slot") {
            $0.takeSlot()
            return ""
        }
        static let body = Step(name: "a piece of its body goes over") {
            $0.noteBody()
            return ""
        }
        static let refusal = Step(name: "its connection is refused") {
            $0.connectionRefused().map { "rest \($0.pause.nanoseconds / 1_000_000) ms" } ?? "refuse"
        }
        static let silence = Step(name: "its connection ends without a byte") {
            $0.goesOutAgain(isIdempotent: true) ? "again" : "fail"
        }
        static let silenceOfPost = Step(name: "a POST's connection ends without a byte") {
            $0.goesOutAgain(isIdempotent: false) ? "again" : "fail"
        }
        static let answer = Step(name: "an answer's head") {
            $0.answer(200, isStream: false)
            return ""
        }
        static let upgrade = Step(name: "another protocol") {
            $0.answer(101, isStream: true)
            $0.upgrade()
            return ""
        }
        static let failure = Step(name: "its origin fails") { $0.ending == .refuse ? "refuse" : "break off" }
        static let deadline = Step(name: "its time is up") {
            guard $0.isUnanswered else { return "break off" }
            return $0.isWithoutReplica ? "not ready" : "too slow"
        }
        static let end = Step(name: "its end") {
            $0.end()
            return ""
        }
    }

    struct Row: Sendable, CustomTestStringConvertible {
        let before: [Step]
        let step: Step
        let stage: ExchangeState.Stage
        let says: String

        init(_ before: [Step], _ step: Step, _ stage: ExchangeState.Stage, _ says: String = "") {
            (self.before, self.step, self.stage, self.says) = (before, step, stage, says)
        }

        var testDescription: String { (before + [step]).map(\.name).joined(separator: ", ") }
    }

    private static let out: [Step] = [.begin, .slot]

    static let rows = [
        Row([], .begin, .beginning),
        Row([.begin], .collect, .collecting),
        Row([.begin, .collect], .deadline, .collecting, "too slow"),
        Row([.begin, .collect, .body], .slot, .carriedOut),
        Row([.begin], .slot, .carriedOut),
        Row([.begin], .wait, .waiting),
        Row([.begin], .deadline, .beginning, "not ready"),
        Row([.begin, .wait], .deadline, .waiting, "not ready"),
        Row([.begin, .wait], .outcome, .beginning, "its own"),
        Row([.begin, .wait, .outcome, .wait], .lateOutcome, .waiting, "nobody's"),
        Row([.begin, .wait, .end], .outcome, .none, "nobody's"),
        Row([.begin, .wait, .outcome], .outcome, .beginning, "nobody's"),
        Row(out, .refusal, .resting, "rest 0 ms"),
        Row(out + [.refusal, .outcome, .slot], .refusal, .resting, "rest 1 ms"),
        Row(out + [.refusal], .deadline, .resting, "not ready"),
        Row(out + [.refusal, .end], .outcome, .none, "nobody's"),
        Row(out + [.answer], .refusal, .answering, "refuse"),
        Row(out, .silence, .carriedOut, "again"),
        Row(out, .silenceOfPost, .carriedOut, "fail"),
        Row(out + [.silence], .silence, .carriedOut, "fail"),
        Row(out + [.body], .silence, .carriedOut, "fail"),
        Row([.begin, .collect, .body, .slot], .silence, .carriedOut, "again"),
        Row(out + [.answer], .silence, .answering, "fail"),
        Row(out, .deadline, .carriedOut, "too slow"),
        Row(out, .failure, .carriedOut, "refuse"),
        Row(out, .answer, .answering),
        Row(out + [.answer], .failure, .answering, "break off"),
        Row(out + [.answer], .deadline, .answering, "break off"),
        Row(out, .upgrade, .tunnel),
        Row(out + [.upgrade], .failure, .tunnel, "break off"),
        Row(out + [.answer], .end, .none),
        Row(out + [.answer, .end, .begin], .failure, .beginning, "refuse"),
    ]

    @Test(arguments: rows)
    func `what happens leads where it should`(row: Row) {
        var state = ExchangeState()
        for step in row.before { _ = step.apply(&state) }
        #expect(row.step.apply(&state) == row.says)
        #expect(state.stage == row.stage)
    }

    @Test func `whatever happens, a call goes out twice at most unless it was refused, and no late outcome is its own`()
    {
        var chance = SeededGenerator()
        let seed = chance.description
        let steps: [Step] = [
            .begin, .collect, .wait, .outcome, .lateOutcome, .slot, .body, .refusal, .silence, .answer, .upgrade,
            .failure, .deadline, .end,
        ]
        for _ in 0..<500 {
            var (state, again, rests, turns) = (ExchangeState(), 0, 0, Set<UInt32>())
            for _ in 0..<60 {
                let (step, wasAnswered, turn) = (
                    steps.randomElement(using: &chance) ?? .begin, state.status != 0, state.turn
                )
                let says = step.apply(&state)
                if step.name == Step.begin.name { (again, rests) = (0, 0) }
                if says == "again" { again += 1 }
                if says.hasPrefix("rest ") { rests += 1 }
                #expect(again <= 1 && rests <= 10, "seed \(seed)")
                #expect(
                    !(wasAnswered && (says == "again" || says == "refuse" && step.name == Step.failure.name)),
                    "seed \(seed)"
                )
                if says == "its own" { #expect(turns.insert(turn).inserted, "an outcome counts once; seed \(seed)") }
                if step.name == Step.lateOutcome.name { #expect(says == "nobody's", "seed \(seed)") }
            }
        }
    }
}
