// SPDX-License-Identifier: Apache-2.0

import Foundation

enum FileTree {
    /// The files below a folder by relative path, in a fixed order, without what Python leaves behind.
    static func files(below folder: String) -> [String] {
        let names = FileManager.default.enumerator(atPath: folder)?.compactMap { $0 as? String } ?? []
        return names.sorted().filter { name in
            var isFolder: ObjCBool = false
            return !name.split(separator: "/").contains("__pycache__")
                && FileManager.default.fileExists(atPath: "\(folder)/\(name)", isDirectory: &isFolder)
                && !isFolder.boolValue
        }
    }
}
