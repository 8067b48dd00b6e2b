// SPDX-License-Identifier: Apache-2.0

/// The name of an image, `name:tag`.
public struct ImageName: Sendable, Hashable {
    /// What stands before the tag; it may begin with a registry.
    public let name: String
    /// The tag; `latest` where there is none.
    public let tag: String

    /// Splits a name; a colon before the last slash belongs to a registry's port.
    public init(_ text: String) {
        guard let colon = text.lastIndex(of: ":"), !text[colon...].contains("/") else {
            (name, tag) = (text, "latest")
            return
        }
        name = String(text[..<colon])
        tag = String(text[text.index(after: colon)...])
    }
}
