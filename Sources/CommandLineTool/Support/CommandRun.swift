// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import FaultModel
import Foundation

/// Runs a command's work and ends it as the one table says: the sentence on standard error, the fault's exit code.
func runCommand(_ work: () async throws -> Void) async throws {
    do {
        try await work()
    } catch let fault as PlatformFault {
        printError(fault.message)
        if let hint = fault.hint { printError(hint) }
        throw ExitCode(FaultTable.row(for: fault.code).exitCode)
    }
}

/// Writes a line to standard error.
func printError(_ line: String) {
    FileHandle.standardError.write(Data((line + "\n").utf8))
}
