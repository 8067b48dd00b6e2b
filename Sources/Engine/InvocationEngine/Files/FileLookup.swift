// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import Glibc
// Declares `timespec` as well, and it is chance which of the two the compiler meets first.
import SwiftOverlayShims

/// Finds what a path of a request means in a folder, as Go's file server does, which of-watchdog uses.
///
/// Blocks.
struct FileLookup: Sendable {
    /// What there is.
    enum Result: Sendable {
        /// A file that is open for reading; the receiver closes it.
        case file(OpenFile)
        /// The canonical address, relative to the one that was asked for.
        case elsewhere(String)
        /// A folder without `index.html`: a page that lists it.
        case listing(String)
        case nothing
        case forbidden
    }

    struct OpenFile: Sendable {
        let descriptor: Int32
        let size: Int
        /// Seconds since 1970.
        let modified: Int64
        let contentType: String
    }

    let folder: String

    /// Looks up a decoded path, which never leads out of the folder by `..`.
    ///
    /// Links inside the folder are followed: whoever made the image made them.
    func find(_ path: String) -> Result {
        let clean = Self.cleaned(path)
        if path.hasSuffix("/index.html") { return .elsewhere("./") }
        var status = stat()
        guard stat(folder + clean, &status) == 0 else { return errno == EACCES ? .forbidden : .nothing }
        guard status.st_mode & S_IFMT == S_IFDIR else {
            if path.hasSuffix("/"), clean != "/" { return .elsewhere("../" + Self.lastName(clean)) }
            return open(folder + clean)
        }
        guard path.hasSuffix("/") || clean == "/" else { return .elsewhere(Self.lastName(clean) + "/") }
        let index = folder + clean + (clean == "/" ? "" : "/") + "index.html"
        return access(index, F_OK) == 0 ? open(index) : list(folder + clean)
    }

    private func open(_ file: String) -> Result {
        // Not blocking, so that a pipe among the files cannot hold a thread.
        let descriptor = Glibc.open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { return errno == EACCES ? .forbidden : .nothing }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            return .forbidden
        }
        let modified = Int64(status.st_mtim.tv_sec)
        let type = ContentType.of(file) ?? ContentType.sniff(descriptor)
        return .file(
            OpenFile(descriptor: descriptor, size: Int(status.st_size), modified: modified, contentType: type)
        )
    }

    private func list(_ folder: String) -> Result {
        guard let stream = opendir(folder) else { return .forbidden }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let isFolder = entry.pointee.d_type == UInt8(DT_DIR)
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(isFolder ? name + "/" : name) }
        }
        let links = names.sorted().map { "<a href=\"\(Self.address($0))\">\(HTMLText.escaped($0))</a>\n" }
        return .listing("<!doctype html>\n<meta charset=\"utf-8\">\n<pre>\n\(links.joined())</pre>\n")
    }

    /// An absolute path without empty parts, `.` and `..`.
    static func cleaned(_ path: String) -> String {
        var parts: [Substring] = []
        // By bytes: to the system a slash is one whatever mark follows it.
        for part in path.utf8.split(separator: UInt8(ascii: "/")).map(Substring.init) where part != "." {
            if part == ".." { _ = parts.popLast() } else { parts.append(part) }
        }
        return "/" + parts.joined(separator: "/")
    }

    private static func lastName(_ path: String) -> String {
        address(String(path.split(separator: "/").last ?? ""))
    }

    /// A name as a relative address; the point keeps a colon in it from looking like a scheme.
    private static func address(_ name: String) -> String {
        let plain = Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/".utf8)
        let encoded = name.utf8.map { byte in
            if plain.contains(byte) { return String(UnicodeScalar(byte)) }
            let digits = String(byte, radix: 16, uppercase: true)
            return "%" + (digits.count == 1 ? "0" : "") + digits
        }
        return encoded.joined()
    }
}

/// Media types of files.
enum ContentType {
    private static let byExtension = [
        "avif": "image/avif", "css": "text/css; charset=utf-8", "csv": "text/csv; charset=utf-8",
        "gif": "image/gif", "gz": "application/gzip", "htm": "text/html; charset=utf-8",
        "html": "text/html; charset=utf-8", "ico": "image/x-icon", "jpeg": "image/jpeg", "jpg": "image/jpeg",
        "js": "text/javascript; charset=utf-8", "json": "application/json", "map": "application/json",
        "md": "text/markdown; charset=utf-8", "mjs": "text/javascript; charset=utf-8", "mp3": "audio/mpeg",
        "mp4": "video/mp4", "ogg": "audio/ogg", "otf": "font/otf", "pdf": "application/pdf", "png": "image/png",
        "svg": "image/svg+xml", "tar": "application/x-tar", "ttf": "font/ttf", "txt": "text/plain; charset=utf-8",
        "wasm": "application/wasm", "wav": "audio/wav", "webm": "video/webm", "webp": "image/webp",
        "woff": "font/woff", "woff2": "font/woff2", "xml": "text/xml; charset=utf-8", "zip": "application/zip",
    ]

    /// The type of a name; nil where its ending says nothing.
    static func of(_ file: String) -> String? {
        let name = file.split(separator: "/").last ?? ""
        guard let dot = name.lastIndex(of: ".") else { return nil }
        return byExtension[name[name.index(after: dot)...].lowercased()]
    }

    /// Text where the first bytes are, anything else otherwise.
    static func sniff(_ descriptor: Int32) -> String {
        var bytes = [UInt8](repeating: 0, count: 512)
        let count = pread(descriptor, &bytes, bytes.count, 0)
        let isText = bytes.prefix(max(0, count)).allSatisfy {
            $0 >= 0x20 || [0x09, 0x0A, 0x0C, 0x0D, 0x1B].contains($0)
        }
        return isText ? "text/plain; charset=utf-8" : "application/octet-stream"
    }
}

/// What part of a file is asked for (RFC 9110 §14.2).
enum ByteRange: Equatable {
    case whole
    case part(Range<Int>)
    case unsatisfiable

    /// Reads a `Range` field; what is malformed, or asks for several parts, gets the whole file, as is allowed.
    init(_ text: String?, size: Int) {
        self = .whole
        guard let text, text.hasPrefix("bytes="), !text.contains(",") else { return }
        let bounds = text.dropFirst(6).split(separator: "-", omittingEmptySubsequences: false)
        guard bounds.count == 2, bounds.allSatisfy({ $0.utf8.allSatisfy { (0x30...0x39).contains($0) } }) else {
            return
        }
        switch (Int(bounds[0]), Int(bounds[1])) {
        case (nil, let last?) where bounds[0].isEmpty:
            self = last == 0 || size == 0 ? .unsatisfiable : .part(max(0, size - last)..<size)
        case (let first?, nil) where bounds[1].isEmpty:
            self = first < size ? .part(first..<size) : .unsatisfiable
        case (let first?, let last?):
            guard first <= last else { return }
            self = first < size ? .part(first..<min(size, last &+ 1 > last ? last + 1 : size)) : .unsatisfiable
        default:
            return
        }
    }
}
