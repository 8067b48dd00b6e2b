// SPDX-License-Identifier: Apache-2.0

/// Finds what somebody may have meant who mistyped a name.
public enum NearestName {
    /// The name that needs the fewest changes to become the word, at most `changes`; nil where each needs more.
    public static func of(_ word: String, in names: some Sequence<String>, within changes: Int = .max) -> String? {
        let bytes = Array(word.utf8.prefix(longest))
        let nearest = names.map { (name: $0, distance: distance(bytes, Array($0.utf8))) }
            .min { $0.distance < $1.distance }
        return nearest.flatMap { $0.distance <= changes ? $0.name : nil }
    }

    /// Nobody's name is as long; what is longer costs no more than this.
    private static let longest = 200

    /// How many bytes have to be put in, taken out or replaced to make one word of another.
    private static func distance(_ word: [UInt8], _ other: [UInt8]) -> Int {
        var row = Array(0...other.count)
        for (line, byte) in word.enumerated() {
            var diagonal = row[0]
            row[0] = line + 1
            for (column, wanted) in other.enumerated() {
                let replaced = diagonal + (byte == wanted ? 0 : 1)
                diagonal = row[column + 1]
                row[column + 1] = min(replaced, diagonal + 1, row[column] + 1)
            }
        }
        return row[other.count]
    }
}
