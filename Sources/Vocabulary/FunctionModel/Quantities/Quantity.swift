// SPDX-License-Identifier: Apache-2.0

/// Amounts of memory and CPU as Kubernetes writes them (contract §8.1): a decimal number and a suffix, `128Mi`, `500m`,
/// or an exponent, `1e8`.
public enum Quantity {
    /// Reads an amount of memory (`128Mi`, `1Gi`, `64M`, `1e8`, `1048576`) into bytes; nil when it is none.
    public static func parseMemoryBytes(_ text: String) -> Int? {
        guard let bytes = parse(text, times: 1), bytes >= 1, bytes < 9e18 else { return nil }
        return Int(bytes)
    }

    /// Reads an amount of CPU (`100m`, `0.5`, `2`) into thousandths of a core; nil when it is none.
    public static func parseMilliCPU(_ text: String) -> Int? {
        guard let milli = parse(text, times: 1000), milli >= 1, milli < 1e9 else { return nil }
        return Int(milli)
    }

    /// The amount in so many parts of a unit, rounded up; nil when it is none, or too large for a number.
    private static func parse(_ text: String, times parts: Double) -> Double? {
        let unsigned = text.utf8.dropFirst(text.hasPrefix("+") ? 1 : 0)
        let digits = unsigned.prefix { isDigit($0) || $0 == UInt8(ascii: ".") }
        let suffix = String(decoding: unsigned.dropFirst(digits.count), as: UTF8.self)
        // To Kubernetes "1." and ".5" are numbers, too.
        let plain = digits.last == UInt8(ascii: ".") ? digits.dropLast() : digits
        let number = "0" + String(decoding: plain, as: UTF8.self)
        guard digits.contains(where: isDigit), let value = Double(number), let factor = factors[suffix] ?? power(suffix)
        else { return nil }
        let amount = (value * (factor * parts)).rounded(.up)
        return amount.isFinite ? amount : nil
    }

    /// A decimal exponent: `e3`, `E-2`.
    private static func power(_ suffix: String) -> Double? {
        guard suffix.hasPrefix("e") || suffix.hasPrefix("E"), suffix.utf8.count > 1, suffix.utf8.count <= 5,
            let exponent = Int(suffix.dropFirst())
        else { return nil }
        return Double("1e\(exponent)")
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }

    private static let factors: [String: Double] = [
        "": 1, "n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18,
        "Ki": 1024, "Mi": 1_048_576, "Gi": 1_073_741_824, "Ti": 1_099_511_627_776, "Pi": 1_125_899_906_842_624,
        "Ei": 1_152_921_504_606_846_976,
    ]
}
