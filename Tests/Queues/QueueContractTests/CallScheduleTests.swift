// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import QueueContract
import TestSupport
import Testing

struct CallScheduleTests {
    private static let functions = (0..<4).map { FunctionID(name: "f\($0)", namespace: "n") }

    /// What the schedule promises, written down as plainly as can be.
    private struct Model {
        /// The calls of each function that are due, the next one first.
        var due = [[Int64]](repeating: [], count: 4)
        /// Calls in flight by their tokens.
        var running: [UInt64: (number: Int64, function: Int)] = [:]

        mutating func take(_ function: Int, _ count: Int) -> [Int64] {
            let taken = Array(due[function].prefix(count))
            due[function].removeFirst(taken.count)
            return taken
        }
    }

    @Test func `calls are taken in their order, by nobody twice, however functions come and go`() throws {
        var generator = SeededGenerator()
        var schedule = CallSchedule()
        var model = Model()
        for number in Int64(1)...5000 {
            let place = Int.random(in: 0..<4, using: &generator)
            let function = Self.functions[place]
            let token = model.running.keys.sorted().randomElement(using: &generator)
            switch Int.random(in: 0..<12, using: &generator) {
            case 0..<4:
                schedule.add(number, of: function, due: 0, now: 0)
                model.due[place].append(number)
            case 4..<6:
                let count = Int.random(in: 1...3, using: &generator)
                let (taken, _) = schedule.take(from: function, atMost: count, now: 0, expiry: 1)
                #expect(taken.map(\.number) == model.take(place, count), "\(generator)")
                for (number, token) in taken { model.running[token] = (number, place) }
            case 6..<9:
                guard let token, let call = model.running.removeValue(forKey: token) else { continue }
                #expect(schedule.end(token)?.number == call.number, "\(generator)")
            case 9:
                guard let token, let call = model.running.removeValue(forKey: token) else { continue }
                #expect(schedule.release(token)?.function == Self.functions[call.function], "\(generator)")
                model.due[call.function].insert(call.number, at: 0)
            case 10:
                guard let removed = model.due[place].randomElement(using: &generator) else { continue }
                schedule.remove(removed, of: function)
                model.due[place].removeAll { $0 == removed }
            default:
                schedule.dropEmptyLanes()
            }
            for (place, function) in Self.functions.enumerated() {
                #expect(schedule.waiting(of: function) == model.due[place].count, "\(generator)")
            }
            #expect(schedule.runningNumbers == Set(model.running.values.map(\.number)), "\(generator)")
        }
    }

    @Test func `a line whose function is forgotten and another's that takes its place share nothing`() {
        var schedule = CallSchedule()
        let (old, new) = (Self.functions[0], Self.functions[1])
        schedule.add(1, of: old, due: 100, now: 0)
        schedule.remove(1, of: old)
        schedule.dropEmptyLanes()
        #expect(schedule.counts.isEmpty)
        schedule.add(2, of: new, due: 0, now: 0)
        #expect(schedule.take(from: old, atMost: 9, now: 200, expiry: 300).taken.isEmpty)
        #expect(schedule.take(from: new, atMost: 9, now: 200, expiry: 300).taken.map(\.number) == [2])
        schedule.add(1, of: old, due: 0, now: 0)
        #expect(schedule.take(from: old, atMost: 9, now: 200, expiry: 300).taken.map(\.number) == [1])
        #expect(schedule.waitingFunctions.isEmpty)
    }
}
