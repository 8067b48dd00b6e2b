// SPDX-License-Identifier: Apache-2.0

/// A digest that tells one text of a container's making from another: not against malice, but against time.
enum ContainerShape {
    /// FNV-1a of 64 bits, in hexadecimal digits.
    static func digest(_ bytes: some Sequence<UInt8>) -> String {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
        let digits = String(hash, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
