// SPDX-License-Identifier: Apache-2.0

public import FaultModel

/// The rules of names; checked before a name touches a file, a table or a process.
public enum NameRule {
    /// The namespace of functions that name none.
    public static let defaultNamespace = "openfaas-fn"

    /// Checks a function's name: a DNS label of at most 63 characters (contract §8.1).
    public static func checkFunction(_ name: String) throws(PlatformFault) {
        guard !name.isEmpty else {
            throw PlatformFault(.invalidValue, "validation failed: service: is required")
        }
        guard isLabel(name) else {
            throw PlatformFault(
                .invalidValue,
                "validation failed: service: (\(printable(name))) is invalid, must be a valid DNS entry",
                hint: labelHint
            )
        }
    }

    /// Checks a namespace's name: a DNS label of at most 63 characters.
    public static func checkNamespace(_ name: String) throws(PlatformFault) {
        guard isLabel(name) else {
            throw PlatformFault(
                .invalidValue,
                name.isEmpty ? "A namespace needs a name." : "\"\(printable(name))\" cannot be a namespace's name.",
                hint: labelHint
            )
        }
    }

    /// Checks a secret's name: a DNS subdomain of at most 253 characters (contract §9); never a path.
    public static func checkSecret(_ name: String) throws(PlatformFault) {
        let isSubdomain =
            name.utf8.count <= 253
            && name.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { isLabel(String($0)) }
        guard isSubdomain else {
            throw PlatformFault(
                .invalidValue,
                name.isEmpty ? "A secret needs a name." : "\"\(printable(name))\" cannot be a secret's name.",
                hint: "Use lower-case letters, digits, \"-\" and \".\"; begin and end with a letter or digit."
            )
        }
    }

    /// Whether the text is a DNS label: `^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`, at most 63 characters.
    public static func isLabel(_ text: String) -> Bool {
        let bytes = text.utf8
        guard let first = bytes.first, let last = bytes.last, bytes.count <= 63 else { return false }
        return isAlphanumeric(first) && isAlphanumeric(last)
            && bytes.allSatisfy { isAlphanumeric($0) || $0 == UInt8(ascii: "-") }
    }

    /// Whether the text can be a method of HTTP, as functions name them: capital letters.
    public static func isMethod(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.allSatisfy((UInt8(ascii: "A")...UInt8(ascii: "Z")).contains)
    }

    /// A text from outside, cut and cleaned so that it can stand in a sentence; what may be a password is left out.
    public static func printable(_ text: String) -> String {
        let text = ServerURL.withoutLogin(text)
        let cleaned = text.unicodeScalars.prefix(80).map { $0.value < 0x20 || $0.value == 0x7f ? "?" : String($0) }
        return cleaned.joined() + (text.unicodeScalars.count > 80 ? "…" : "")
    }

    private static let labelHint =
        "Use at most 63 lower-case letters, digits and \"-\"; begin and end with a letter or digit."

    private static func isAlphanumeric(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
    }
}
