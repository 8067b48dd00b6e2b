// SPDX-License-Identifier: Apache-2.0

/// Where a call can be carried out: a server (`Upstream`), a process of the call's own, the files of a folder, or whatever
/// else a program has registered a factory for with its engine.
///
/// A kind of target is a type. The engine looks its factory up once for each replica that it hears of, never per call.
public protocol InvocationTarget: Sendable {}

/// A process that is started for each call.
public struct ProcessTarget: InvocationTarget {
    /// What starts it.
    public var launcher: any ProcessLauncher

    /// Makes a target.
    public init(_ launcher: any ProcessLauncher) { self.launcher = launcher }
}

/// The files of a folder.
public struct FolderTarget: InvocationTarget {
    /// The folder's path.
    public var path: String

    /// Makes a target.
    public init(path: String) { self.path = path }
}
