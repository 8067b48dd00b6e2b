// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Finds a program as a shell would.
public enum ExecutableLookup {
    /// The file of a program, looked up in a `PATH` unless the name has a slash.
    ///
    /// Whatever is relative, a folder of the `PATH` too, is meant from the directory that the program starts in.
    ///
    /// - Throws: a sentence as Go words it, when there is none or it cannot be executed.
    public static func find(_ program: String, path: String, in directory: String) throws(SpawnError) -> String {
        guard !program.contains("/") else {
            let file = absolute(program, directory)
            if let problem = problem(with: file) {
                throw SpawnError(code: problem, message: "fork/exec \(program): \(text(problem))")
            }
            return file
        }
        for folder in path.split(separator: ":") {
            let file = absolute("\(folder)/\(program)", directory)
            if problem(with: file) == nil { return file }
        }
        throw SpawnError(code: ENOENT, message: "exec: \"\(program)\": executable file not found in $PATH")
    }

    private static func absolute(_ file: String, _ directory: String) -> String {
        file.hasPrefix("/") ? file : directory + "/" + file
    }

    private static func problem(with file: String) -> Int32? {
        var status = stat()
        guard stat(file, &status) == 0 else { return errno }
        guard status.st_mode & S_IFMT == S_IFREG else { return EACCES }
        return access(file, X_OK) == 0 ? nil : errno
    }

    /// The system's words for an error number, in lower case as Go has them.
    static func text(_ code: Int32) -> String {
        String(cString: strerror(code)).lowercased()
    }
}
