// SPDX-License-Identifier: Apache-2.0

import Glibc
import NIOCore
import NIOPosix

/// One body that is held until it is whole: in memory while there is some, else in a file; confined to an event loop.
///
/// What it takes of the budget goes back with it.
final class HeldBody {
    private let budget: BodyBudget
    private let loop: any EventLoop
    private var memory = 0
    private var disk = 0
    private var loading = 0
    private(set) var file: SpillFile?
    /// What is in memory of it.
    private var bytes = ByteBuffer()
    /// As far as this the file has been read.
    private var readEnd = 0
    private(set) var isBusy = false

    init(_ budget: BodyBudget, _ loop: any EventLoop) {
        self.budget = budget
        self.loop = loop
    }

    deinit {
        budget.giveBack(memory: memory, disk: disk)
        if loading > 0 { budget.endLoading(loading) }
    }

    var length: Int { bytes.readableBytes + disk }

    /// Whether some of it in the file has not been read yet.
    var hasMore: Bool { readEnd < disk }

    /// Keeps a piece; false when there is no memory for it.
    func keep(_ piece: ByteBuffer) -> Bool {
        guard file == nil, budget.takeMemory(piece.readableBytes) else { return false }
        memory += piece.readableBytes
        bytes.writeImmutableBuffer(piece)
        return true
    }

    /// Hands over what is in memory, without a second reference, so that more can be added without a copy.
    func takeBytes() -> ByteBuffer {
        let taken = bytes
        bytes = ByteBuffer()
        return taken
    }

    // MARK: To disk

    /// Writes a piece behind what there is, which goes to the file before it; false when there is no room on disk.
    ///
    /// `done` is called on the event loop, with the system's error where it could not be written.
    func spill(_ piece: ByteBuffer, done: @escaping (CInt?) -> Void) -> Bool {
        guard let folder = budget.folder else { return false }
        var all = takeBytes()
        all.writeImmutableBuffer(piece)
        guard budget.takeDisk(all.readableBytes) else { return false }
        let (file, start, written) = (file, disk, all)
        disk += all.readableBytes
        isBusy = true
        run { () -> Result<SpillFile, SpillFile.Failure> in
            do throws(SpillFile.Failure) {
                let file = if let file { file } else { try SpillFile(in: folder) }
                try file.write(written, at: start)
                return .success(file)
            } catch {
                return .failure(error)
            }
        } then: { [self] outcome in
            isBusy = false
            budget.giveBack(memory: memory, disk: 0)
            memory = 0
            if case .success(let file) = outcome { self.file = file }
            if case .failure(let failure) = outcome { done(failure.code) } else { done(nil) }
        }
        return true
    }

    // MARK: From disk

    /// Reads the next piece; nil where it cannot be read.
    func readPiece(then: @escaping (ByteBuffer?) -> Void) {
        read(min(65_536, disk - readEnd), then)
    }

    /// Reads all of it, when memory for that is free.
    func readAll(then: @escaping (ByteBuffer?) -> Void) {
        let body = NIOLoopBound((self, then), eventLoop: loop)
        let (loop, length) = (loop, disk)
        budget.beginLoading(length) {
            loop.execute {
                let (held, then) = body.value
                held.loading = length
                held.read(length, then)
            }
        }
    }

    private func read(_ count: Int, _ then: @escaping (ByteBuffer?) -> Void) {
        guard let file else { return then(nil) }
        let start = readEnd
        readEnd += count
        isBusy = true
        run {
            file.read(count, at: start)
        } then: { [self] piece in
            isBusy = false
            then(piece)
        }
    }

    private func run<Value: Sendable>(_ work: @escaping @Sendable () -> Value, then: @escaping (Value) -> Void) {
        let then = NIOLoopBound(then, eventLoop: loop)
        BodyBudget.threads.runIfActive(eventLoop: loop, work).whenSuccess { then.value($0) }
    }
}

/// A file without a name: nothing of it stays, however the process ends.
final class SpillFile: Sendable {
    /// The system's error.
    struct Failure: Error {
        let code: CInt
    }

    private let descriptor: CInt
    /// What others need the disk for must find room: the calls that are kept, above all.
    private static let leastFree = 64 * 1_048_576

    /// Makes one.
    ///
    /// Blocks, as everything here does.
    init(in folder: String) throws(Failure) {
        let path = "\(folder)/held-\(UInt64.random(in: 0 ... .max))"
        descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw Failure(code: errno) }
        unlink(path)
    }

    deinit { close(descriptor) }

    func write(_ bytes: ByteBuffer, at start: Int) throws(Failure) {
        var about = statvfs()
        guard fstatvfs(descriptor, &about) == 0 else { throw Failure(code: errno) }
        let (free, _) = UInt(about.f_bavail).multipliedReportingOverflow(by: UInt(about.f_frsize))
        guard free >= UInt(bytes.readableBytes + Self.leastFree) else { throw Failure(code: ENOSPC) }
        let code = bytes.withUnsafeReadableBytes { bytes -> CInt? in
            var done = 0
            while done < bytes.count {
                let count = pwrite(
                    descriptor,
                    bytes.baseAddress.map { $0 + done },
                    bytes.count - done,
                    off_t(start + done)
                )
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { return count < 0 ? errno : ENOSPC }
                done += count
            }
            return nil
        }
        if let code { throw Failure(code: code) }
    }

    /// Nil where not all of it can be read.
    func read(_ count: Int, at start: Int) -> ByteBuffer? {
        var piece = ByteBufferAllocator().buffer(capacity: count)
        while piece.readableBytes < count {
            let (left, from) = (count - piece.readableBytes, off_t(start + piece.readableBytes))
            let taken = piece.writeWithUnsafeMutableBytes(minimumWritableBytes: left) { room in
                max(0, pread(descriptor, room.baseAddress, left, from))
            }
            guard taken > 0 else { return nil }
        }
        return piece
    }
}
