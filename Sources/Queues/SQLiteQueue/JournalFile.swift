// SPDX-License-Identifier: Apache-2.0

import Foundation
import NIOCore

/// One of the two files of the journal, written from its beginning to its end and then again.
///
/// What is there is written over past the cache of the file system, where that lets it be passed by: nothing is copied, and
/// a sync has nothing to look for. For that, entries begin and end where pages do.
struct JournalFile {
    let path: String
    /// Where the next entry begins.
    var end = 0
    /// The newest entry in it.
    var last: UInt64 = 0
    private var descriptor: Int32 = -1
    /// What syncs go through in turn: an error that the system has found is told once to each, so that two at the same time
    /// both hear of it.
    private(set) var syncDescriptors: [Int32] = []
    /// As far as this there is something to write over.
    private var length = 0
    private(set) var way = Way.throughCache

    enum Way {
        case throughCache
        case pastCache
        /// The file system knows no other.
        case onlyThroughCache
    }

    /// A file becomes longer by so many bytes at a time.
    private static let step = 1_048_576
    private static let zeros = [UInt8](repeating: 0, count: 65_536)

    /// `O_DIRECT`, which the headers show only to C.
    private static let directFlag: Int32 = {
        #if arch(x86_64)
        0x4000
        #else
        0x10000
        #endif
    }()

    init(path: String) { self.path = path }

    var isOpen: Bool { descriptor >= 0 }

    /// Opens the file, making it where it is missing; its name has to be synced by the caller.
    mutating func open() throws(CallJournal.Problem) {
        var about = stat()
        descriptor = Glibc.open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard isOpen, fstat(descriptor, &about) == 0, openForSyncs() else {
            let code = errno
            close()
            throw .system(code)
        }
        (length, way) = (Int(about.st_size), .throughCache)
    }

    private mutating func openForSyncs() -> Bool {
        while syncDescriptors.count < 2 {
            let another = Glibc.open(path, O_RDWR | O_CLOEXEC)
            guard another >= 0 else { return false }
            syncDescriptors.append(another)
        }
        return true
    }

    mutating func close() {
        if isOpen { Glibc.close(descriptor) }
        for another in syncDescriptors { Glibc.close(another) }
        (descriptor, syncDescriptors) = (-1, [])
    }

    /// Writes an entry behind the last one; it is on disk when one of the descriptors for that was synced.
    mutating func append(_ entry: ByteBuffer, by pages: JournalPages) throws(CallJournal.Problem) {
        let next = end + entry.readableBytes
        try choose(next <= length && entry.readableBytes <= JournalPages.size ? .pastCache : .throughCache)
        try entry.withUnsafeReadableBytes { bytes throws(CallJournal.Problem) in
            try write(way == .pastCache ? pages.copy(of: bytes) : bytes, at: end)
        }
        if next > length { length = lengthen(from: next) }
        end = next
    }

    /// Writes zeros for the next entries to be written over; returns how far there was room for them.
    ///
    /// A sync that makes the file longer has more to write than one that does not.
    private mutating func lengthen(from begin: Int) -> Int {
        var length = begin
        Self.zeros.withUnsafeBytes { zeros in
            let wanted = (begin + Self.step - 1) / Self.step * Self.step
            while length < wanted {
                let some = UnsafeRawBufferPointer(rebasing: zeros[..<min(wanted - length, zeros.count)])
                guard (try? write(some, at: length)) != nil else { return }
                length += some.count
            }
        }
        return length
    }

    private mutating func choose(_ wanted: Way) throws(CallJournal.Problem) {
        guard way != wanted, way != .onlyThroughCache else { return }
        let isSet = fcntl(descriptor, F_SETFL, wanted == .pastCache ? Self.directFlag : 0) == 0
        if !isSet, wanted != .pastCache { throw .system(errno) }
        way = isSet ? wanted : .onlyThroughCache
    }

    private mutating func write(_ bytes: UnsafeRawBufferPointer, at place: Int) throws(CallJournal.Problem) {
        var rest = bytes
        while let address = rest.baseAddress, !rest.isEmpty {
            let count = pwrite(descriptor, address, rest.count, off_t(place + bytes.count - rest.count))
            if count < 0, errno == EINTR { continue }
            if count < 0, errno == EINVAL, way == .pastCache {
                // Some file systems say only now that they want other pages, or none.
                try choose(.throughCache)
                way = .onlyThroughCache
                continue
            }
            guard count > 0 else { throw .system(errno) }
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
        }
    }
}

/// Memory that a disk can read from: what is written past the cache lies in whole pages.
final class JournalPages {
    /// What an entry is filled up to a multiple of.
    static let pageSize = 4096
    /// Most bytes of an entry that is written past the cache.
    static let size = 524_288
    private let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: pageSize)

    deinit { memory.deallocate() }

    /// Bytes in these pages, until the next ones.
    func copy(of bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        memory.copyMemory(from: bytes)
        return UnsafeRawBufferPointer(rebasing: memory[..<bytes.count])
    }
}
