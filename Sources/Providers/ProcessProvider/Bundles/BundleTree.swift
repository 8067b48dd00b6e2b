// SPDX-License-Identifier: Apache-2.0

/// A path in an archive, by its bytes as the system takes them: two ways to write a letter are two names to it, and a
/// slash is one whatever follows it.
struct BundlePath: Hashable, Comparable {
    private static let slash = UInt8(ascii: "/")

    let bytes: [UInt8]

    init(_ parts: [ArraySlice<UInt8>]) { bytes = Array(parts.joined(separator: [Self.slash])) }

    private init(bytes: [UInt8]) { self.bytes = bytes }

    static let root = BundlePath(bytes: [])

    /// The parts of a text, empty ones and `.` left out.
    static func parts(_ text: String) -> [ArraySlice<UInt8>] {
        Array(text.utf8).split(separator: slash).filter { !$0.elementsEqual(".".utf8) }
    }

    static func isUp(_ part: ArraySlice<UInt8>) -> Bool { part.elementsEqual("..".utf8) }

    static func isAbsolute(_ text: String) -> Bool { text.utf8.first == slash }

    /// The folder that it lies in; nil for the root.
    var parent: BundlePath? {
        guard !bytes.isEmpty else { return nil }
        return BundlePath(bytes: Array(bytes[..<(bytes.lastIndex(of: Self.slash) ?? 0)]))
    }

    func appending(_ part: ArraySlice<UInt8>) -> BundlePath {
        BundlePath(bytes: bytes.isEmpty ? Array(part) : bytes + [Self.slash] + part)
    }

    var text: String { String(decoding: bytes, as: UTF8.self) }

    static func < (one: BundlePath, other: BundlePath) -> Bool { one.bytes.lexicographicallyPrecedes(other.bytes) }
}

/// The names of an archive as the tree that they will be, to find out where its links lead before there is any.
struct BundleTree {
    private enum Node {
        case folder
        case file
        case link(String)
    }

    /// A symbolic link.
    struct Link {
        let path: BundlePath
        let target: String
    }

    /// Why an entry cannot be taken in.
    enum Refusal: Error {
        /// Something has the name already.
        case taken
        /// A file or a link stands where its folder should be.
        case behindLink
    }

    /// As many links as the system follows on one way.
    private static let mostLinks = 40
    /// Far more steps than a way that somebody means has.
    private static let mostSteps = 1000

    private var nodes: [BundlePath: Node] = [:]
    /// All links, in the order in which they came.
    private(set) var links: [Link] = []

    mutating func addFile(_ path: BundlePath) throws(Refusal) { try add(.file, path) }

    mutating func addLink(_ path: BundlePath, to target: String) throws(Refusal) {
        try add(.link(target), path)
        links.append(Link(path: path, target: target))
    }

    /// A folder may be there already: what lies in it may come first.
    mutating func addFolder(_ path: BundlePath) throws(Refusal) {
        switch nodes[path] {
        case .folder?: return
        case nil: try add(.folder, path)
        case .file?, .link?: throw .taken
        }
    }

    private mutating func add(_ node: Node, _ path: BundlePath) throws(Refusal) {
        guard nodes[path] == nil else { throw .taken }
        for folder in try missingFolders(above: path) { nodes[folder] = .folder }
        nodes[path] = node
    }

    private func missingFolders(above path: BundlePath) throws(Refusal) -> [BundlePath] {
        var missing: [BundlePath] = []
        var next = path.parent
        while let folder = next, folder != .root {
            switch nodes[folder] {
            case .folder?: return missing
            case .file?, .link?: throw .behindLink
            case nil: missing.append(folder)
            }
            next = folder.parent
        }
        return missing
    }

    /// Whether the way of a link, begun in its own folder, stays in the tree, whatever other links are on it.
    ///
    /// As the system goes it: each link is followed from where it stands, and `..` leads out of the folder that was
    /// really reached. What is not there is taken for a folder, since it may be made later. A way that goes round in
    /// circles is refused: it leads nowhere.
    func staysInside(_ link: Link) -> Bool {
        guard Self.isRelative(link.target) else { return false }
        var way = link.path.parent ?? .root
        var left = Array(BundlePath.parts(link.target).reversed())
        var (links, steps) = (1, 0)
        while let part = left.popLast() {
            steps += 1
            guard steps <= Self.mostSteps else { return false }
            if BundlePath.isUp(part) {
                guard let parent = way.parent else { return false }
                way = parent
                continue
            }
            let next = way.appending(part)
            guard case .link(let target)? = nodes[next] else {
                way = next
                continue
            }
            links += 1
            guard links <= Self.mostLinks, Self.isRelative(target) else { return false }
            left += BundlePath.parts(target).reversed()
        }
        return true
    }

    private static func isRelative(_ target: String) -> Bool { !target.isEmpty && !BundlePath.isAbsolute(target) }
}
