// SPDX-License-Identifier: Apache-2.0

import Glibc

/// A moment in UTC, written as RFC 3339.
///
/// Our own small type, so that neither the engine nor `fwatchdog` needs Foundation.
public struct Timestamp: Hashable, Sendable, Comparable {
    /// Nanoseconds since 1970-01-01T00:00:00Z.
    public let nanosecondsSinceEpoch: Int64

    /// Makes a moment.
    public init(nanosecondsSinceEpoch: Int64) { self.nanosecondsSinceEpoch = nanosecondsSinceEpoch }

    /// The present, by the system's clock.
    public static func now() -> Timestamp {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Timestamp(nanosecondsSinceEpoch: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
    }

    /// Earlier comes first.
    public static func < (left: Timestamp, right: Timestamp) -> Bool {
        left.nanosecondsSinceEpoch < right.nanosecondsSinceEpoch
    }

    /// The moment that lies a duration earlier; the first or last one there is where that would be beyond it.
    public func earlier(by duration: Duration) -> Timestamp { later(by: .zero - duration) }

    /// The moment that lies a duration later; the first or last one there is where that would be beyond it.
    public func later(by duration: Duration) -> Timestamp {
        let (sum, isTooFar) = nanosecondsSinceEpoch.addingReportingOverflow(duration.clampedNanoseconds)
        guard isTooFar else { return Timestamp(nanosecondsSinceEpoch: sum) }
        return Timestamp(nanosecondsSinceEpoch: nanosecondsSinceEpoch < 0 ? .min : .max)
    }

    /// How long it is until then; negative when it is past, and never more than 292 years.
    public func distance(from earlier: Timestamp) -> Duration {
        .nanoseconds(nanosecondsSinceEpoch.clampedDifference(from: earlier.nanosecondsSinceEpoch))
    }
}

// MARK: - RFC 3339

extension Timestamp: CustomStringConvertible {
    /// RFC 3339 with milliseconds, in UTC.
    public var description: String { formatted(fractionDigits: 3) }

    /// RFC 3339 in UTC with the given number of digits of the second's fraction, 0 to 9.
    public func formatted(fractionDigits: Int) -> String {
        let seconds = floorDivide(nanosecondsSinceEpoch, 1_000_000_000)
        let nanoseconds = (nanosecondsSinceEpoch % 1_000_000_000 + 1_000_000_000) % 1_000_000_000
        let days = floorDivide(seconds, 86_400)
        let secondOfDay = seconds - days * 86_400
        let (year, month, day) = civilDate(daysSinceEpoch: days)
        var text = "\(padded(year, 4))-\(padded(month, 2))-\(padded(day, 2))T"
        text += "\(padded(secondOfDay / 3600, 2)):\(padded(secondOfDay / 60 % 60, 2)):\(padded(secondOfDay % 60, 2))"
        if fractionDigits > 0 { text += "." + padded(nanoseconds, 9).prefix(fractionDigits) }
        return text + "Z"
    }

    /// Reads RFC 3339 with any offset; nil when the text is not a valid moment.
    public init?(_ text: String) {
        let bytes = Array(text.utf8)
        guard bytes.count >= 20,
            let year = number(bytes, 0, 4), bytes[4] == UInt8(ascii: "-"),
            let month = number(bytes, 5, 2), (1...12).contains(month), bytes[7] == UInt8(ascii: "-"),
            let day = number(bytes, 8, 2), (1...31).contains(day), bytes[10] | 0x20 == UInt8(ascii: "t"),
            let hour = number(bytes, 11, 2), hour < 24, bytes[13] == UInt8(ascii: ":"),
            let minute = number(bytes, 14, 2), minute < 60, bytes[16] == UInt8(ascii: ":"),
            let second = number(bytes, 17, 2), second <= 60
        else { return nil }
        var position = 19
        let nanoseconds = Timestamp.takeFraction(bytes, &position)
        guard let nanoseconds, let offset = Timestamp.takeOffset(bytes, &position), position == bytes.count else {
            return nil
        }
        let days = daysSinceEpoch(year: year, month: month, day: day)
        let (checkYear, checkMonth, checkDay) = civilDate(daysSinceEpoch: days)
        guard (checkYear, checkMonth, checkDay) == (year, month, day) else { return nil }
        let seconds = days * 86_400 + hour * 3600 + minute * 60 + second - offset
        let (whole, isTooFar) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        let (moment, isJustTooFar) = whole.addingReportingOverflow(nanoseconds)
        guard !isTooFar, !isJustTooFar else { return nil }
        self.init(nanosecondsSinceEpoch: moment)
    }

    private static func takeFraction(_ bytes: [UInt8], _ position: inout Int) -> Int64? {
        guard position < bytes.count, bytes[position] == UInt8(ascii: ".") else { return 0 }
        position += 1
        var (value, scale, digits): (Int64, Int64, Int) = (0, 100_000_000, 0)
        while position < bytes.count, let digit = number(bytes, position, 1) {
            value += digit * scale
            scale /= 10
            digits += 1
            position += 1
        }
        return digits > 0 ? value : nil
    }

    private static func takeOffset(_ bytes: [UInt8], _ position: inout Int) -> Int64? {
        guard position < bytes.count else { return nil }
        let sign = bytes[position]
        position += 1
        if sign | 0x20 == UInt8(ascii: "z") { return 0 }
        guard sign == UInt8(ascii: "+") || sign == UInt8(ascii: "-"), bytes.count >= position + 5,
            let hours = number(bytes, position, 2), hours < 24, bytes[position + 2] == UInt8(ascii: ":"),
            let minutes = number(bytes, position + 3, 2), minutes < 60
        else { return nil }
        position += 5
        let offset = hours * 3600 + minutes * 60
        return sign == UInt8(ascii: "-") ? -offset : offset
    }
}

extension Timestamp: Codable {
    /// Reads an RFC 3339 string.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let moment = Timestamp(text) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "not an RFC 3339 time")
        }
        self = moment
    }

    /// Writes an RFC 3339 string with milliseconds.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

// MARK: - The proleptic Gregorian calendar

/// The date of a day number; eras of 400 years begin on 1 March, so that the leap day is the last of its year.
func civilDate(daysSinceEpoch: Int64) -> (year: Int64, month: Int64, day: Int64) {
    let shifted = daysSinceEpoch + 719_468
    let era = floorDivide(shifted, 146_097)
    let dayOfEra = shifted - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shiftedMonth = (5 * dayOfYear + 2) / 153
    let day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
    let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
    return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day)
}

func daysSinceEpoch(year: Int64, month: Int64, day: Int64) -> Int64 {
    let shiftedYear = month <= 2 ? year - 1 : year
    let era = floorDivide(shiftedYear, 400)
    let yearOfEra = shiftedYear - era * 400
    let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
    return era * 146_097 + dayOfEra - 719_468
}

func floorDivide(_ value: Int64, _ divisor: Int64) -> Int64 {
    // Without a sum that could be beyond the first number there is.
    value / divisor - (value % divisor < 0 ? 1 : 0)
}

func padded(_ value: Int64, _ width: Int) -> String {
    let digits = String(value)
    return String(repeating: "0", count: max(0, width - digits.count)) + digits
}

private func number(_ bytes: [UInt8], _ start: Int, _ count: Int) -> Int64? {
    var value: Int64 = 0
    for byte in bytes[start..<min(start + count, bytes.count)] {
        guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return nil }
        value = value * 10 + Int64(byte - UInt8(ascii: "0"))
    }
    return value
}
