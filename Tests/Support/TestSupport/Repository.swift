// SPDX-License-Identifier: Apache-2.0

public import Foundation

/// The files that the tests were built from.
public enum Repository {
    /// One of them, by its path from the repository's root.
    public static func file(_ path: String) -> URL {
        // Tests/Support/TestSupport/Repository.swift
        let root = (0..<4).reduce(URL(fileURLWithPath: Self.here)) { url, _ in url.deletingLastPathComponent() }
        return root.appendingPathComponent(path)
    }

    private static let here = #filePath
}
