// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import ProviderContract

/// The functions that one event loop knows, by their addresses and further paths; confined to it.
final class FunctionDirectory {
    private let profile: EngineProfile
    private let defaultNamespace: String
    private let ledger: (any InvocationLedger)?
    private let admission: @Sendable (FunctionRoute) -> (any AdmissionHook)?
    private let origins: OriginFactories
    private var entries: [String: FunctionEntry] = [:]
    private var entriesByPath: [String: FunctionEntry] = [:]
    /// How long further paths are, the longest first.
    private var pathLengths: [Int] = []
    /// What further paths begin with; those that begin with a function's name lead nowhere.
    private var firstSegments: Set<String> = []
    /// The function that was called last, which mostly is called again.
    private var latest: (address: ContiguousArray<UInt8>, entry: FunctionEntry?) = ([], nil)
    /// Whether all functions have been told of once: before, one without an entry may well exist.
    private(set) var hasSnapshot = false

    init(
        _ profile: EngineProfile,
        defaultNamespace: String,
        ledger: (any InvocationLedger)?,
        admission: @escaping @Sendable (FunctionRoute) -> (any AdmissionHook)?,
        origins: OriginFactories
    ) {
        self.profile = profile
        self.defaultNamespace = defaultNamespace
        self.ledger = ledger
        self.admission = admission
        self.origins = origins
    }

    // MARK: Finding

    /// The function of an address: `name.namespace`, or `name` in the default namespace.
    func entry(_ address: String) -> FunctionEntry? {
        var address = address
        return address.withUTF8 { entry(UnsafeRawBufferPointer($0)) }
    }

    /// The same, from a message.
    func entry(_ address: UnsafeRawBufferPointer) -> FunctionEntry? {
        if latest.address.withUnsafeBytes({ equals($0, address) }) { return latest.entry }
        guard let entry = entries[String(decoding: address, as: UTF8.self)] else { return nil }
        latest = (ContiguousArray(address), entry)
        return entry
    }

    /// Whether functions are called at further paths.
    var hasPaths: Bool { !pathLengths.isEmpty }

    /// The function of the longest further path that a path is, or begins with up to a slash; and the length of that.
    func entry(atPath path: UnsafeRawBufferPointer) -> (entry: FunctionEntry, length: Int)? {
        for length in pathLengths where length <= path.count {
            guard length == path.count || path[length] == UInt8(ascii: "/") else { continue }
            if let entry = entriesByPath[String(decoding: path[..<length], as: UTF8.self)] { return (entry, length) }
        }
        return nil
    }

    /// A function's identity by its address, whether there is one or not; nil for what cannot be an address.
    func identity(_ address: String) -> FunctionID? {
        FunctionID(address: address, defaultNamespace: defaultNamespace)
    }

    // MARK: Following the table

    func change(_ route: FunctionRoute, _ queue: AdmissionQueue, _ queues: [AdmissionQueue]) {
        let entry = entries[route.id.description] ?? add(route, queue)
        let paths = entry.paths
        entry.update(route, queues)
        if entry.paths != paths { mapPaths() }
    }

    func noteSnapshot() { hasSnapshot = true }

    func remove(_ id: FunctionID) {
        guard let entry = entries[id.description] else { return }
        for address in addresses(of: id) { entries[address] = nil }
        latest = ([], nil)
        entry.retire()
        if !entry.paths.isEmpty || blocksPaths(id) { mapPaths() }
    }

    private func add(_ route: FunctionRoute, _ queue: AdmissionQueue) -> FunctionEntry {
        let cell = ledger?.cell(for: route.id)
        let entry = FunctionEntry(route, queue: queue, cell: cell, admission: admission, origins: origins)
        for address in addresses(of: route.id) { entries[address] = entry }
        if blocksPaths(route.id) { mapPaths() }
        return entry
    }

    private func addresses(of id: FunctionID) -> [String] {
        profile.addresses(of: id, defaultNamespace: defaultNamespace)
    }

    /// Whether there are paths that begin with a function's name.
    private func blocksPaths(_ id: FunctionID) -> Bool {
        !firstSegments.isEmpty && !firstSegments.isDisjoint(with: addresses(of: id))
    }

    /// Where several functions have a path it is the first one's, by name; one that begins with the name of another
    /// function is nobody's.
    private func mapPaths() {
        entriesByPath = [:]
        firstSegments = []
        for entry in functions {
            for path in entry.paths {
                let first = PathRule.firstSegment(path)
                firstSegments.insert(first)
                if let named = entries[first], named !== entry { continue }
                if let other = entriesByPath[path], other.id < entry.id { continue }
                entriesByPath[path] = entry
            }
        }
        pathLengths = Set(entriesByPath.keys.map(\.utf8.count)).sorted(by: >)
    }

    /// Each function once, whatever its addresses.
    private var functions: some Sequence<FunctionEntry> {
        entries.lazy.filter { $0.key == $0.value.name }.map(\.value)
    }

    // MARK: Numbers

    /// Adds this loop's counters to a sum.
    func addMetrics(to sums: inout [FunctionID: FunctionMetrics]) {
        for entry in functions { sums[entry.id, default: FunctionMetrics(id: entry.id)].add(entry.counters) }
    }

    /// Adds what this loop has seen of some functions to a sum.
    func addActivity(of functions: [FunctionID], to sums: inout [FunctionID: FunctionActivity]) {
        for id in functions {
            guard let counters = entries[id.description]?.counters else { continue }
            sums[id, default: FunctionActivity()].started += counters.started
            sums[id, default: FunctionActivity()].inFlight += counters.inFlight
        }
    }

    /// Gives up the idle connections to a replica that another loop is about to open one to.
    func closeIdleConnections(to replica: Replica) {
        for entry in entries.values {
            for local in entry.allReplicas where local.replica === replica { local.source.closeIdle() }
        }
    }
}
