// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import FaultModel
import Foundation
import ProcessControl

/// Runs a command's work and ends it as the one table says: the sentence on standard error, the fault's exit code.
func runCommand(_ work: () async throws -> Void) async throws {
    do {
        try await work()
    } catch let restart as ProgramRestart {
        throw end(by: restart.carryOut())
    } catch let fault as PlatformFault {
        throw end(by: fault)
    }
}

/// Says what is wrong; the exit code that stands for it.
private func end(by fault: PlatformFault) -> ExitCode {
    printError(fault.message)
    if let hint = fault.hint { printError(hint) }
    return ExitCode(FaultTable.row(for: fault.code).exitCode)
}

/// Writes a line to standard error.
func printError(_ line: String) {
    writeAll(Array((line + "\n").utf8), to: STDERR_FILENO)
}

/// Writes bytes as they are to standard output, behind what was printed before.
func printBytes(_ bytes: some Sequence<UInt8>) {
    fflush(nil)
    writeAll(Array(bytes), to: STDOUT_FILENO)
}

/// Whoever reads may go away at any time, `head` say: then there is nobody left to be told, and no reason to fail.
private func writeAll(_ bytes: [UInt8], to descriptor: Int32) {
    _ = bytes.withUnsafeBytes { SystemFile.writeAll($0, to: descriptor) }
}
