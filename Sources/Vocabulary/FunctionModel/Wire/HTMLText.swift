// SPDX-License-Identifier: Apache-2.0

/// Texts as HTML has them.
public enum HTMLText {
    /// A text whose characters mean only themselves, between tags and in quoted attributes.
    public static func escaped(_ text: String) -> String {
        var out = ""
        for character in text {
            switch character {
            case "&": out += "&amp;"
            case "<": out += "&lt;"
            case ">": out += "&gt;"
            case "\"": out += "&#34;"
            case "'": out += "&#39;"
            default: out.append(character)
            }
        }
        return out
    }
}
