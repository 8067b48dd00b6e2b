// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// The interfaces of this machine, one of which may be an engine's bridge.
enum LocalBridge {
    /// The addresses of the interface of that name; none where there is no such.
    static func addresses(of name: String) -> Set<String> {
        let devices = (try? System.enumerateDevices()) ?? []
        return Set(devices.filter { $0.name == name }.compactMap { $0.address?.ipAddress })
    }
}
