// SPDX-License-Identifier: Apache-2.0

public import FaultModel

/// Which paths beside `/function/NAME` a function may be called at.
public enum PathRule {
    /// First segments that are the platform's.
    public static let ownSegments = ["async-function", "function", "healthz", "metrics", "readyz", "system", "ui"]
    /// The most bytes of a path.
    public static let longest = 1024

    /// The one spelling of a path: without slashes at its end, and with nothing percent-encoded; case counts.
    ///
    /// Nil for one that no function may have: a path is segments of letters, digits, `-`, `.`, `_` and `~`, none of the
    /// platform's first.
    public static func normalForm(_ path: String) -> String? {
        guard path.utf8.count <= 3 * longest else { return nil }
        let (decoded, slash) = (URLText.unescaped(path[...]), UInt8(ascii: "/"))
        // An encoded slash separates nothing.
        guard decoded.count(where: { $0 == slash }) == path.utf8.count(where: { $0 == slash }) else { return nil }
        let end = decoded.lastIndex { $0 != slash }.map { $0 + 1 } ?? 0
        let normal = String(decoding: decoded[..<end], as: UTF8.self)
        return allows(normal) ? normal : nil
    }

    /// The first segment of a path in its normal form.
    public static func firstSegment(_ path: String) -> String {
        String(path.dropFirst().prefix { $0 != "/" })
    }

    private static func allows(_ path: String) -> Bool {
        guard path.hasPrefix("/"), path.utf8.count <= longest, !ownSegments.contains(firstSegment(path)) else {
            return false
        }
        let segments = path.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
        return segments.allSatisfy { $0 != "." && $0 != ".." && !$0.isEmpty && $0.utf8.allSatisfy(isPathByte) }
    }

    private static func isPathByte(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
            || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20) || "-._~".utf8.contains(byte)
    }
}

extension FunctionSpec {
    /// A function that is called at further paths.
    public typealias PathOwner = (id: FunctionID, paths: [String])

    /// Checks that a deployment's further paths lead to its function and leave those of all others alone.
    ///
    /// A path is one function's. One that begins with the name of another function leads nowhere, so neither may be had
    /// beside the other; a function that is there already may keep its name whatever others are called at.
    ///
    /// `owners` are all functions with further paths; `exists` says whether there is a function.
    ///
    /// - Throws: `conflict`, which names the other function.
    public func checkPaths(
        among owners: some Sequence<PathOwner>,
        exists: (FunctionID) -> Bool,
        isNew: Bool,
        defaultNamespace: String
    ) throws(PlatformFault) {
        func named(_ path: String) -> FunctionID? {
            FunctionID(address: PathRule.firstSegment(path), defaultNamespace: defaultNamespace)
        }
        for path in paths {
            guard let other = named(path), other != id, exists(other) else { continue }
            throw PlatformFault(
                .conflict,
                "The path \(path) begins with the name of the function \(other), so it would never lead to \(id).",
                hint: "Let it begin with another word (\(PlatformLabel.path.name))."
            )
        }
        for owner in owners where owner.id != id {
            if let path = owner.paths.first(where: paths.contains) {
                throw PlatformFault(
                    .conflict,
                    "The path \(path) belongs to the function \(owner.id) already.",
                    hint: "Take it from that function first (\(PlatformLabel.path.name)), or choose another one."
                )
            }
            if isNew, let path = owner.paths.first(where: { named($0) == id }) {
                throw PlatformFault(
                    .conflict,
                    "The function \(owner.id) is called at \(path), which would lead nowhere beside a function \(id).",
                    hint: "Choose another name, or take the path from that function (\(PlatformLabel.path.name))."
                )
            }
        }
    }
}
