// SPDX-License-Identifier: Apache-2.0

public import FaultModel

/// What a kernel takes as the environment and the command of a new process.
public enum EnvironmentRule {
    /// Most bytes of a variable, `NAME=VALUE` and the byte that ends it, and of a word of the command (Linux,
    /// `MAX_ARG_STRLEN`).
    public static let stringLimit = 131_072
    /// Most bytes of all variables of a deployment; half of what Linux takes by default, since the platform's own
    /// variables, and with a process per call the request's fields, come on top.
    public static let totalLimit = 1_048_576

    /// Checks the variables and the command of a deployment.
    ///
    /// - Throws: `invalidValue` naming the variable that is too long or no variable.
    public static func check(_ deployment: FunctionDeployment) throws(PlatformFault) {
        var total = 0
        for (name, value) in (deployment.envVars ?? [:]).sorted(by: { $0.key < $1.key }) {
            try checkText(name, value)
            let size = name.utf8.count + value.utf8.count + 2
            guard size <= stringLimit else {
                throw tooLong("The variable \(NameRule.printable(name))", size, stringLimit)
            }
            total += size
        }
        guard total <= totalLimit else { throw tooLong("All variables together", total, totalLimit) }
        try checkCommand(deployment.envProcess ?? "")
    }

    private static func checkText(_ name: String, _ value: String) throws(PlatformFault) {
        guard !name.isEmpty, !name.utf8.contains(where: { $0 == 0 || $0 == UInt8(ascii: "=") }) else {
            throw PlatformFault(
                .invalidValue,
                "\"\(NameRule.printable(name))\" cannot be a variable's name.",
                hint: "A name has at least one character, no equals sign and no zero byte."
            )
        }
        guard !value.utf8.contains(0) else {
            throw PlatformFault(
                .invalidValue,
                "The variable \(NameRule.printable(name)) has a zero byte, at which a process would take it to end."
            )
        }
    }

    private static func checkCommand(_ command: String) throws(PlatformFault) {
        guard !command.utf8.contains(0) else {
            throw PlatformFault(.invalidValue, "The command has a zero byte, at which a process would take it to end.")
        }
        // The variable fprocess has it whole.
        let size = "fprocess".utf8.count + command.utf8.count + 2
        guard size <= stringLimit else { throw tooLong("The command", size, stringLimit) }
    }

    private static func tooLong(_ what: String, _ size: Int, _ limit: Int) -> PlatformFault {
        PlatformFault(
            .invalidValue,
            "\(what): \(size) bytes; a process can be given \(limit) at most.",
            hint: "Give the function a secret, or a file of its bundle, in its place."
        )
    }
}
