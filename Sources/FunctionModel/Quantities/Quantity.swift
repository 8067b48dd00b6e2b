// SPDX-License-Identifier: Apache-2.0

/// Amounts of memory and CPU as Kubernetes writes them (contract §8.1).
public enum Quantity {
    /// Reads an amount of memory (`128Mi`, `1Gi`, `64M`, `1048576`) into bytes; nil when it is none.
    public static func parseMemoryBytes(_ text: String) -> Int? {
        let number = text.prefix { $0.isNumber || $0 == "." }
        guard let value = Double(number), let factor = memoryFactors[String(text.dropFirst(number.count))] else {
            return nil
        }
        let bytes = (value * factor).rounded(.up)
        return bytes.isFinite && bytes >= 1 && bytes < 9e18 ? Int(bytes) : nil
    }

    /// Reads an amount of CPU (`100m`, `0.5`, `2`) into thousandths of a core; nil when it is none.
    public static func parseMilliCPU(_ text: String) -> Int? {
        let isMilli = text.hasSuffix("m")
        guard let value = Double(isMilli ? text.dropLast() : text[...]), value.isFinite else { return nil }
        let milli = (isMilli ? value : value * 1000).rounded(.up)
        return milli >= 1 && milli < 1e9 ? Int(milli) : nil
    }

    private static let memoryFactors: [String: Double] = [
        "": 1, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15,
        "Ki": 1024, "Mi": 1_048_576, "Gi": 1_073_741_824, "Ti": 1_099_511_627_776, "Pi": 1_125_899_906_842_624,
    ]
}
