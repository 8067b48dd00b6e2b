// SPDX-License-Identifier: Apache-2.0

/// Dates of HTTP fields, to the second: `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 §5.6.7).
public enum HTTPDate {
    private static let days = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]
    private static let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]

    /// Writes a moment.
    public static func format(secondsSinceEpoch seconds: Int64) -> String {
        let day = floorDivide(seconds, 86_400)
        let time = seconds - day * 86_400
        let date = civilDate(daysSinceEpoch: day)
        // 1 January 1970 was a Thursday.
        let weekday = days[Int(day - floorDivide(day, 7) * 7)]
        let clock = "\(padded(time / 3600, 2)):\(padded(time / 60 % 60, 2)):\(padded(time % 60, 2))"
        return "\(weekday), \(padded(date.day, 2)) \(months[Int(date.month) - 1]) \(padded(date.year, 4)) \(clock) GMT"
    }

    /// Reads a moment in the one form that is written today; nil for anything else.
    public static func parse(_ text: String) -> Int64? {
        let words = text.split(separator: " ", omittingEmptySubsequences: false)
        guard words.count == 6, words[0].count == 4, words[0].hasSuffix(","), words[5] == "GMT",
            let day = Int64(words[1]), words[1].count == 2,
            let month = months.firstIndex(where: { $0 == words[2] }), let year = Int64(words[3]), words[3].count == 4
        else { return nil }
        let clock = words[4].split(separator: ":", omittingEmptySubsequences: false)
        guard clock.count == 3, clock.allSatisfy({ $0.count == 2 }), let hour = Int64(clock[0]), hour < 24,
            let minute = Int64(clock[1]), minute < 60, let second = Int64(clock[2]), second <= 60,
            hour >= 0, minute >= 0, second >= 0, year >= 0
        else { return nil }
        let days = daysSinceEpoch(year: year, month: Int64(month) + 1, day: day)
        guard civilDate(daysSinceEpoch: days) == (year, Int64(month) + 1, day) else { return nil }
        return days * 86_400 + hour * 3600 + minute * 60 + second
    }
}
