// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import NIOCore
import ProviderContract

/// Everything an event loop needs to carry out calls, confined to it: no locks, no hops.
final class LoopContext {
    let loop: any EventLoop
    let settings: EngineSettings
    /// Its limits of time as the event loop's clock has them.
    let limits: EngineLimits
    let timers: TimerWheel
    let defaultNamespace: String
    let ledger: (any InvocationLedger)?
    /// Answers what is no call, on listeners that have no responder of their own.
    let responder: any LocalResponder
    let accessLog: (any AccessLog)?
    let bodies: BodyBudget
    /// An empty buffer of this loop's own: `ByteBuffer()` is one object for all of them, and counting its references from
    /// several CPUs costs more than many a step of a call.
    let noBytes = ByteBufferAllocator().buffer(capacity: 1)
    let intakeOutcomes: IntakeOutcomes
    /// The other event loops, set once at the start.
    var siblings: [LoopHandle] = []
    /// Whether callers may bring a login that functions are not to hear of.
    let withholdsLogin: Bool
    private(set) var isDraining = false
    /// Takes connections that have nothing to do; nil where they are kept.
    private(set) var heir: (@Sendable (ListenerOffer, CInt) -> Void)?
    /// The time of the event that is being handled.
    private(set) var now = NIODeadline.now()
    /// What the wall clock was ahead of `now`, and when that was looked at.
    private var wallClock: (offset: Int64, readAt: NIODeadline) = (0, .uptimeNanoseconds(0))
    private var latestDate = DateLine(.now(), now: .uptimeNanoseconds(0))
    private var entries: [String: FunctionEntry] = [:]
    private var entriesByPath: [String: FunctionEntry] = [:]
    /// How long further paths are, the longest first.
    private var pathLengths: [Int] = []
    /// What further paths begin with; those that begin with a function's name lead nowhere.
    private var firstSegments: Set<String> = []
    /// Whether all functions have been told of once: before, one without an entry may well exist.
    private(set) var hasSnapshot = false
    /// The function that was called last, which mostly is called again.
    private var latest: (address: ContiguousArray<UInt8>, entry: FunctionEntry?) = ([], nil)
    private var connections: [ObjectIdentifier: FrontConnection] = [:]
    private var whenEmpty: EventLoopPromise<Void>?
    /// Connections without a client, whose calls are over.
    private var spareConnections: [FrontConnection] = []
    private static let mostSpare = 128
    /// Ends the wait of those that nobody has needed for a while: they keep the room of large calls.
    private let spareTimer = LoopTimer()
    private static let sparesWait = TimeAmount.seconds(10)
    private var random: (UInt64, UInt64)

    init(loop: any EventLoop, engine: EngineParts) {
        self.loop = loop
        settings = engine.settings
        limits = EngineLimits(engine.settings)
        defaultNamespace = engine.table.defaultNamespace
        ledger = engine.ledger
        responder = engine.responder
        accessLog = engine.settings.accessLog
        withholdsLogin = engine.settings.isOwnLogin != nil
        bodies = engine.bodies
        timers = TimerWheel(loop: loop)
        intakeOutcomes = IntakeOutcomes(loop: loop)
        var seed = SystemRandomNumberGenerator()
        random = (seed.next() | 1, seed.next())
        spareTimer.onExpiry = { [weak self] in self?.dropSpareConnections() }
    }

    // MARK: Functions

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

    func change(_ route: FunctionRoute, _ queue: AdmissionQueue, _ queues: [AdmissionQueue]) {
        let entry = entries[route.id.description] ?? add(route, queue)
        let paths = entry.paths
        entry.update(route, queues)
        if entry.paths != paths { mapPaths() }
    }

    func noteSnapshot() { hasSnapshot = true }

    func remove(_ id: FunctionID) {
        guard let entry = entries[id.description] else { return }
        for address in addresses(id) { entries[address] = nil }
        latest = ([], nil)
        entry.retire()
        if !entry.paths.isEmpty || blocksPaths(id) { mapPaths() }
    }

    /// Whether there are paths that begin with a function's name.
    private func blocksPaths(_ id: FunctionID) -> Bool {
        !firstSegments.isEmpty && !firstSegments.isDisjoint(with: addresses(id))
    }

    /// Where several functions have a path it is the first one's, by name; one that begins with the name of another
    /// function is nobody's.
    private func mapPaths() {
        entriesByPath = [:]
        firstSegments = []
        for (address, entry) in entries where address == entry.name {
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

    private func add(_ route: FunctionRoute, _ queue: AdmissionQueue) -> FunctionEntry {
        let entry = FunctionEntry(
            route,
            queue: queue,
            cell: ledger?.cell(for: route.id),
            admission: settings.admission,
            origins: settings.origins
        )
        for address in addresses(route.id) { entries[address] = entry }
        if blocksPaths(route.id) { mapPaths() }
        return entry
    }

    /// OpenFaaS' own default suffix leads to our default namespace, whatever it is called (contract §25.8).
    private func addresses(_ id: FunctionID) -> [String] {
        if settings.role == .watchdog { return [id.description, id.name] }
        guard id.namespace == defaultNamespace else { return [id.description] }
        return [id.description, id.name, "\(id.name).\(NameRule.defaultNamespace)"]
    }

    /// Adds this loop's counters to a sum.
    func addMetrics(to sums: inout [FunctionID: FunctionMetrics]) {
        for (address, entry) in entries where address == entry.name {
            sums[entry.id, default: FunctionMetrics(id: entry.id)].add(entry.counters)
        }
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
            for local in entry.allReplicas where local.replica === replica { local.closeIdle() }
        }
    }

    // MARK: Connections

    func add(_ connection: FrontConnection) { connections[ObjectIdentifier(connection)] = connection }

    func remove(_ connection: FrontConnection) {
        connections[ObjectIdentifier(connection)] = nil
        if connections.isEmpty { whenEmpty?.succeed(()) }
    }

    /// A connection without a client, for a direct call.
    func connectionForDirectCall() -> FrontConnection { spareConnections.popLast() ?? FrontConnection(self) }

    /// Takes such a connection back when its call is over.
    ///
    /// The next call begins on a fresh stack: whoever was still busy with this one is done by then.
    func keepForDirectCalls(_ connection: FrontConnection) {
        guard spareConnections.count < Self.mostSpare else { return }
        spareConnections.append(connection)
        timers.set(spareTimer, at: now + Self.sparesWait)
    }

    private func dropSpareConnections() {
        for connection in spareConnections { timers.cancel(connection.timer) }
        spareConnections = []
    }

    /// From now on every answer is the last one of its connection.
    func announceDrain() {
        isDraining = true
        for connection in connections.values { connection.isDraining = true }
    }

    /// From now on connections that have nothing to do are somebody else's.
    func handOn(to heir: @escaping @Sendable (ListenerOffer, CInt) -> Void) {
        self.heir = heir
        announceDrain()
        for connection in Array(connections.values) { connection.drain() }
    }

    /// Requests whose answer needs more of the platform than a replica.
    var ownRequests: Int { connections.values.count(where: \.isOwnRequest) }

    /// Ends idle connections now and the others after their answer; the future succeeds when none is left.
    func drain() -> EventLoopFuture<Void> {
        isDraining = true
        let promise = loop.makePromise(of: Void.self)
        guard !connections.isEmpty else {
            promise.succeed(())
            return promise.futureResult
        }
        whenEmpty = promise
        for connection in Array(connections.values) { connection.drain() }
        return promise.futureResult
    }

    /// Cuts what is left.
    func closeAll() {
        for connection in Array(connections.values) { connection.abort() }
    }

    // MARK: Time

    /// Looks at the clock; once per event is enough for everything that follows from it.
    @discardableResult
    @inline(__always)
    func readClock() -> NIODeadline {
        now = .now()
        return now
    }

    /// Nanoseconds since 1970, by a wall clock that is looked at once a second.
    var nanosecondsSinceEpoch: UInt64 {
        if now - wallClock.readAt > .seconds(1) {
            wallClock = (Timestamp.now().nanosecondsSinceEpoch - Int64(now.uptimeNanoseconds), now)
        }
        return UInt64(wallClock.offset + Int64(now.uptimeNanoseconds))
    }

    /// `Date` of an answer that begins now.
    @inline(__always)
    var date: DateLine {
        if now >= latestDate.expires { latestDate = DateLine(.now(), now: now) }
        return latestDate
    }

    // MARK: Randomness

    /// The next number of xorshift128+: for balance and ids, where nobody gains by guessing.
    @inline(__always)
    func nextRandom() -> UInt64 {
        var (x, y) = random
        random.0 = y
        x ^= x << 23
        random.1 = x ^ y ^ (x >> 17) ^ (y >> 26)
        y = random.1 &+ y
        return y
    }
}

/// A way to an event loop's context from anywhere.
struct LoopHandle: Sendable {
    let loop: any EventLoop
    private let context: NIOLoopBoundBox<LoopContext?>

    /// Makes a way to a context that is not there yet.
    init(loop: any EventLoop) {
        self.loop = loop
        context = NIOLoopBoundBox<LoopContext?>.makeEmptyBox(valueType: LoopContext.self, eventLoop: loop)
    }

    /// Makes the loop's context, on the loop.
    func open(_ parts: EngineParts) {
        let (loop, context) = (loop, context)
        loop.execute { context.value = LoopContext(loop: loop, engine: parts) }
    }

    /// Gives a new connection its handler.
    func welcome(_ channel: any Channel, _ offer: ListenerOffer) -> EventLoopFuture<Void> {
        let context = context
        return channel.eventLoop.makeCompletedFuture {
            guard let context = context.value else { throw ChannelError.inappropriateOperationForState }
            try offer.prepare?(channel)
            try channel.pipeline.syncOperations.addHandler(FrontConnection(context, offer))
        }
    }

    func change(_ route: FunctionRoute, _ queue: AdmissionQueue, _ queues: [AdmissionQueue]) {
        run { $0.change(route, queue, queues) }
    }

    func remove(_ id: FunctionID) {
        run { $0.remove(id) }
    }

    func noteSnapshot() {
        run { $0.noteSnapshot() }
    }

    func closeIdleConnections(to replica: Replica) {
        run { $0.closeIdleConnections(to: replica) }
    }

    /// Runs on the event loop, in the order of the calls.
    func run(_ work: @escaping @Sendable (LoopContext) -> Void) {
        let context = context
        loop.execute {
            // Always there: it was asked for before anything that is done with it.
            if let context = context.value { work(context) }
        }
    }

    /// Begins a direct call on the event loop, behind all changes of routes that it was told of before.
    func begin(_ call: DirectCall) {
        let context = context
        loop.execute {
            if let context = context.value { call.begin(in: context) }
        }
    }

    /// Runs on the event loop and brings a result back.
    func submit<Value: Sendable>(
        _ work: @escaping @Sendable (LoopContext) throws -> Value
    ) -> EventLoopFuture<Value> {
        flatSubmit { context in context.loop.makeCompletedFuture { try work(context) } }
    }

    /// Runs on the event loop what ends later.
    func flatSubmit<Value: Sendable>(
        _ work: @escaping @Sendable (LoopContext) -> EventLoopFuture<Value>
    ) -> EventLoopFuture<Value> {
        let (loop, context) = (loop, context)
        return loop.flatSubmit {
            context.value.map(work) ?? loop.makeFailedFuture(ChannelError.inappropriateOperationForState)
        }
    }
}
