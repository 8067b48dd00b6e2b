// SPDX-License-Identifier: Apache-2.0

import Glibc
import WatchdogService

/// `fwatchdog`: what function images start (contract §15.1).
@main
struct FunctionWatchdog {
    static func main() async {
        let arguments = CommandLine.arguments.dropFirst().map { $0.hasPrefix("--") ? String($0.dropFirst()) : $0 }
        let environment = ProcessEnvironment.variables
        switch arguments.first {
        case nil: exit(await Watchdog.run(environment: environment))
        case "-version": print("fwatchdog \(Watchdog.version)")
        case "-run-healthcheck": exit(Watchdog.checkHealth(environment: environment))
        case "-help", "-h": print(usage)
        default:
            print(usage)
            exit(2)
        }
    }

    private static let usage = """
        Usage of fwatchdog:
          -run-healthcheck   end with 0 when the watchdog of this container listens
          -version           print the version

        Everything else is set by variables: fprocess, mode, upstream_url, port, exec_timeout, max_inflight, …
        """
}

private enum ProcessEnvironment {
    /// All variables; the first of a name counts.
    static var variables: [String: String] {
        var variables: [String: String] = [:]
        var next = environ
        while let entry = next.pointee {
            let text = String(cString: entry)
            if let equals = text.firstIndex(of: "=") {
                let name = String(text[..<equals])
                if variables[name] == nil { variables[name] = String(text[text.index(after: equals)...]) }
            }
            next = next.successor()
        }
        return variables
    }
}
