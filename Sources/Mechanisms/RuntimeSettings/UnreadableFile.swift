// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Why a file that is there cannot be read as text.
public enum UnreadableFile: Error, CustomStringConvertible {
    /// It is no file, or not for this user to read.
    case closed
    /// It is text in another encoding, or none.
    case notText

    /// What is said of the file, behind its name.
    public var description: String {
        switch self {
        case .closed: "cannot be read: it is no file, or not for this user to read"
        case .notText: "is not text in UTF-8"
        }
    }
}

extension SettingsReader {
    /// The text of a file; nil where there is none.
    public static func contents(ofFile path: String) throws(UnreadableFile) -> String? {
        var status = stat()
        // A link that leads nowhere is there, too.
        guard lstat(path, &status) == 0 else {
            guard errno == ENOENT || errno == ENOTDIR else { throw .closed }
            return nil
        }
        guard let data = try? Data(contentsOf: URL(fileURLWithPath: path)) else { throw .closed }
        guard let text = String(data: data, encoding: .utf8) else { throw .notText }
        return text
    }
}
