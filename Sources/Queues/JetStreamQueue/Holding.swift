// SPDX-License-Identifier: Apache-2.0

import ProcessControl

/// What this process has in flight, by the entries of the log by which it took it, and the marker's note of that.
struct Holding<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private(set) var all: [Key: Value] = [:]
    private let marker: DeathMarker?
    private let sequence: @Sendable (Key, Value) -> UInt64

    /// Nothing is in flight; `sequence` is that of the entry by which something was taken.
    init(_ marker: DeathMarker?, by sequence: @escaping @Sendable (Key, Value) -> UInt64) {
        self.marker = marker
        self.sequence = sequence
    }

    subscript(key: Key) -> Value? {
        get { all[key] }
        set {
            let (old, new) = (all[key].map { sequence(key, $0) }, newValue.map { sequence(key, $0) })
            all[key] = newValue
            guard old != new else { return }
            if let old { marker?.ended(Int64(clamping: old)) }
            if let new { marker?.began(Int64(clamping: new)) }
        }
    }

    mutating func remove(_ key: Key) -> Value? {
        defer { self[key] = nil }
        return all[key]
    }
}
