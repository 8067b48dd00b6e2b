// SPDX-License-Identifier: Apache-2.0

/// Who may call a function: the annotation `com.martlet.access`.
///
/// Open, since a deployment may have been stored by a version that knows more words: a word that is not known lets
/// nobody in.
public struct AccessMode: RawRepresentable, Sendable, Hashable {
    /// The word.
    public let rawValue: String

    /// Takes any word.
    public init(rawValue: String) { self.rawValue = rawValue }

    /// Everybody, as OpenFaaS has it.
    public static let `public` = AccessMode(rawValue: "public")
}
