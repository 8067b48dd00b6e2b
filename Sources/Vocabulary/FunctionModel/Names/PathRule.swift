// SPDX-License-Identifier: Apache-2.0

/// Which paths beside `/function/NAME` a function may be called at.
public enum PathRule {
    /// First segments that are the platform's.
    public static let ownSegments = ["async-function", "function", "healthz", "metrics", "readyz", "system", "ui"]
    /// The most bytes of a path.
    public static let longest = 1024

    /// Whether a function may have a path: segments of letters, digits, `-`, `.`, `_` and `~`, none of the platform's
    /// first.
    public static func allows(_ path: String) -> Bool {
        guard path.hasPrefix("/"), path.utf8.count <= longest else { return false }
        let segments = path.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
        guard let first = segments.first, !ownSegments.contains(String(first)) else { return false }
        return segments.allSatisfy { $0 != "." && $0 != ".." && !$0.isEmpty && $0.utf8.allSatisfy(isPathByte) }
    }

    private static func isPathByte(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
            || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20) || "-._~".utf8.contains(byte)
    }
}
