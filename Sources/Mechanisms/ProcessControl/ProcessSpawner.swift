// SPDX-License-Identifier: Apache-2.0

import CProcessControl
import DequeModule
import Glibc
import Synchronization

/// Starts child processes from threads that live as long as it does, and tells when they ended.
///
/// The threads matter: a child's parent-death signal fires when the *thread* that started it ends, and that thread
/// stands still until the child executes its program. Children die with this process, even by `kill -9`.
public final class ProcessSpawner: Sendable {
    private let queue = SpawnQueue()
    private let watcher: ExitWatcher
    private let softFileLimit: UInt64

    /// Makes a spawner with so many threads.
    ///
    /// As the first process of a container it also reaps what has lost its parent (`adoptsOrphans`).
    public init(threads: Int = 2, adoptsOrphans: Bool = false) {
        var limit = rlimit()
        softFileLimit = getrlimit(__rlimit_resource_t(7), &limit) == 0 ? min(UInt64(limit.rlim_cur), 1024) : 0
        watcher = ExitWatcher(adoptsOrphans: adoptsOrphans)
        for index in 0..<threads {
            NamedThread.start("spawner-\(index)") { [queue] in queue.run() }
        }
        NamedThread.start("exit-watcher") { [watcher] in watcher.run() }
    }

    /// Starts a process; returns at once.
    ///
    /// `started` is called once, on a thread of the spawner. After a success `ended` is called once, on another, when
    /// the process has ended and been reaped.
    public func start(
        _ spec: ProcessSpec,
        started: @escaping @Sendable (Result<StartedProcess, SpawnError>) -> Void,
        ended: @escaping @Sendable (ProcessExit) -> Void
    ) {
        queue.add { [watcher, softFileLimit] in
            do throws(SpawnError) {
                let process = try Self.spawn(spec, softFileLimit: softFileLimit)
                // From here on it can be signalled; its end is told only behind its start.
                let child = watcher.register(process.processID, ended: ended)
                started(.success(process))
                watcher.watch(child)
            } catch {
                started(.failure(error))
            }
        }
    }

    /// Starts a process and waits until it runs; `ended` is called once, on another thread, when it has been reaped.
    ///
    /// - Throws: why it could not be started; `ended` is not called then.
    public func start(
        _ spec: ProcessSpec,
        ended: @escaping @Sendable (ProcessExit) -> Void
    ) async throws(SpawnError) -> StartedProcess {
        let result = await withCheckedContinuation { continuation in
            start(spec, started: { continuation.resume(returning: $0) }, ended: ended)
        }
        return try result.get()
    }

    /// Sends a signal to a process and its group, unless the process has been reaped already.
    public func signalGroup(of processID: Int32, _ signal: Int32) {
        watcher.signalGroup(of: processID, signal)
    }

    /// Hands the read end of a pipe on as soon as there is something to be read, on a thread that must not wait.
    ///
    /// When the other end is closed and nothing came the descriptor is closed, and nobody is told: that costs much less
    /// than a channel.
    public func whenReadable(_ descriptor: Int32, _ take: @escaping @Sendable (Int32) -> Void) {
        watcher.watch(descriptor, take)
    }

    /// Ends the threads.
    ///
    /// Processes that still run are killed by that.
    public func shutdown() {
        queue.close()
        watcher.close()
    }

    // MARK: On a spawner thread

    private static func spawn(_ spec: ProcessSpec, softFileLimit: UInt64) throws(SpawnError) -> StartedProcess {
        let program = spec.arguments.first ?? ""
        let path = spec.environment.first { $0.name == "PATH" }?.value ?? ""
        let file = try ExecutableLookup.find(program, path: path, in: spec.workingDirectory)
        let streams = try ChildStreams(spec.streams)
        defer { streams.closeChildEnds() }
        do throws(SpawnError) {
            let processID = try spawn(spec, file: file, streams, softFileLimit)
            return StartedProcess(
                processID: processID,
                standardInput: streams.ourInput,
                standardOutput: streams.ourOutput,
                standardError: streams.ourErrors
            )
        } catch {
            streams.closeOurEnds()
            throw error
        }
    }

    private static func spawn(
        _ spec: ProcessSpec,
        file: String,
        _ streams: ChildStreams,
        _ softFileLimit: UInt64
    ) throws(SpawnError) -> Int32 {
        let arguments = CStrings(spec.arguments)
        var variables = spec.environment.map { "\($0.name)=\($0.value)" }
        if let mark = spec.mark { variables.append(mark.variable) }
        let environment = CStrings(variables)
        let groups = try spec.controlGroup?.openMembership() ?? []
        defer { for group in groups { close(group) } }
        var failure = martlet_spawn_error()
        let processID = file.withCString { file in
            spec.workingDirectory.withCString { directory in
                groups.withUnsafeBufferPointer { groups in
                    Self.withOptionalMount(spec.mount) { source, target in
                        var request = martlet_spawn(
                            path: file,
                            arguments: arguments.pointers,
                            environment: environment.pointers,
                            directory: directory,
                            standard_input: streams.childInput,
                            standard_output: streams.childOutput,
                            standard_error: streams.childError,
                            cgroups: groups.baseAddress,
                            cgroup_count: groups.count,
                            soft_file_limit: softFileLimit,
                            mark: spec.mark?.tag ?? 0,
                            mount_source: source,
                            mount_target: target
                        )
                        return martlet_spawn(&request, &failure)
                    }
                }
            }
        }
        guard processID > 0 else { throw Self.error(failure, spec) }
        return processID
    }

    private static func withOptionalMount<Value>(
        _ mount: ProcessSpec.PrivateMount?,
        _ body: (UnsafePointer<CChar>?, UnsafePointer<CChar>?) -> Value
    ) -> Value {
        guard let mount else { return body(nil, nil) }
        return mount.source.withCString { source in mount.target.withCString { body(source, $0) } }
    }

    private static func error(_ failure: martlet_spawn_error, _ spec: ProcessSpec) -> SpawnError {
        let text = ExecutableLookup.text(failure.error)
        let message =
            switch failure.stage {
            case MARTLET_STAGE_CGROUP: "the process could not be put under its limits: \(text)"
            case MARTLET_STAGE_MOUNT: "the process's secrets could not be mounted: \(text)"
            case MARTLET_STAGE_DIRECTORY: "the process's folder cannot be entered: \(text)"
            default: "fork/exec \(spec.arguments.first ?? ""): \(text)"
            }
        return SpawnError(code: failure.error, message: message)
    }
}

/// The ends of a child's standard streams.
private struct ChildStreams {
    private(set) var childInput: Int32 = -1
    private(set) var childOutput: Int32 = -1
    private(set) var childError: Int32 = -1
    private(set) var ourInput: Int32?
    private(set) var ourOutput: Int32?
    private(set) var ourErrors: Int32?
    /// Ends of the child's that are closed here when it has them.
    private var lent: [Int32] = []

    init(_ streams: ProcessSpec.Streams) throws(SpawnError) {
        do throws(SpawnError) { try open(streams) } catch {
            closeOurEnds()
            closeChildEnds()
            throw error
        }
    }

    private mutating func open(_ streams: ProcessSpec.Streams) throws(SpawnError) {
        switch streams {
        case .combined(let descriptor):
            try lendEmptyInput()
            (childOutput, childError) = (descriptor, descriptor)
        case .captured(let output, let errors):
            try lendEmptyInput()
            (childOutput, childError) = (output, errors)
        case .piped(let errorDescriptor):
            try lendPipes()
            childError = errorDescriptor
        case .allPiped:
            try lendPipes()
            let errors = try Self.pipe(nonblockingRead: true)
            (ourErrors, childError) = (errors.read, errors.write)
            lent.append(errors.write)
        }
    }

    private mutating func lendPipes() throws(SpawnError) {
        let input = try Self.pipe(nonblockingWrite: true)
        (childInput, ourInput) = (input.read, input.write)
        lent.append(input.read)
        let output = try Self.pipe(nonblockingRead: true)
        (ourOutput, childOutput) = (output.read, output.write)
        lent.append(output.write)
    }

    private mutating func lendEmptyInput() throws(SpawnError) {
        childInput = try Self.emptyInput()
        lent.append(childInput)
    }

    private static func pipe(
        nonblockingRead: Bool = false,
        nonblockingWrite: Bool = false
    ) throws(SpawnError) -> (read: Int32, write: Int32) {
        var ends: (read: Int32, write: Int32) = (-1, -1)
        guard martlet_pipe(&ends.read, &ends.write, nonblockingRead ? 1 : 0, nonblockingWrite ? 1 : 0) == 0 else {
            throw failure()
        }
        return ends
    }

    /// A pipe that nobody writes to: a bare image has no `/dev/null`.
    private static func emptyInput() throws(SpawnError) -> Int32 {
        let null = Glibc.open("/dev/null", O_RDONLY | O_CLOEXEC)
        if null >= 0 { return null }
        let ends = try pipe()
        close(ends.write)
        return ends.read
    }

    func closeChildEnds() {
        for descriptor in lent { close(descriptor) }
    }

    func closeOurEnds() {
        for descriptor in [ourInput, ourOutput, ourErrors].compactMap(\.self) { close(descriptor) }
    }

    private static func failure() -> SpawnError {
        let code = errno
        return SpawnError(code: code, message: "no pipe for a process: \(ExecutableLookup.text(code))")
    }
}

/// A NULL-terminated array of C strings, freed with the object.
private final class CStrings {
    let pointers: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
    private let count: Int

    init(_ strings: [String]) {
        count = strings.count
        pointers = .allocate(capacity: count + 1)
        for (index, string) in strings.enumerated() { pointers[index] = strdup(string) }
        pointers[count] = nil
    }

    deinit {
        for index in 0..<count { free(pointers[index]) }
        pointers.deallocate()
    }
}

/// Work for the spawner threads, in order.
private final class SpawnQueue: Sendable {
    private struct State {
        var work = Deque<@Sendable () -> Void>()
        var isClosed = false
    }

    private let state = Mutex(State())
    /// Counts the work that no thread has taken.
    private let signal = eventfd(0, Int32(EFD_SEMAPHORE) | Int32(EFD_CLOEXEC))

    func add(_ work: @escaping @Sendable () -> Void) {
        state.withLock { $0.work.append(work) }
        eventfd_write(signal, 1)
    }

    func close() {
        state.withLock { $0.isClosed = true }
        // One for each thread that may wait; more do no harm.
        eventfd_write(signal, 64)
    }

    deinit { Glibc.close(signal) }

    func run() {
        while true {
            var count: eventfd_t = 0
            if eventfd_read(signal, &count) != 0, errno == EINTR { continue }
            let (work, isClosed) = state.withLock { state -> ((@Sendable () -> Void)?, Bool) in
                (state.work.popFirst(), state.isClosed)
            }
            if let work { work() } else if isClosed { return }
        }
    }
}
