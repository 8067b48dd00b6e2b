// SPDX-License-Identifier: Apache-2.0

import GatewayService
import Glibc
import ProcessControl

/// Tells systemd about our state (sd_notify(3)); does nothing where nobody listens.
enum ServiceNotification {
    /// Whether there is a service manager, which is given the sockets to keep.
    static var isHeard: Bool { getenv("NOTIFY_SOCKET") != nil }

    static func ready() { send("READY=1") }

    /// The same of a process that took another's place.
    static func readyInPlaceOfAnother() { send("MAINPID=\(getpid())\nREADY=1") }

    static func stopping() { send("STOPPING=1") }

    /// Another process is the service from now on.
    static func mainProcess(_ process: Int32) { send("MAINPID=\(process)") }

    /// Gives a gateway's sockets to the service manager, unless the program ends already.
    static func keepSockets(of gateway: Gateway, unless stopping: Stopping) async {
        let listeners = await gateway.handOver.listeners()
        // At the end they are closed one by one: what is kept stays kept.
        if !stopping.hasBegun { keep(listeners) }
        for listener in listeners { close(listener.socket) }
    }

    /// Gives sockets to the service manager, which keeps them open until the next start of the service.
    ///
    /// What it has kept before goes: with other settings it would hold ports with nobody behind them.
    private static func keep(_ listeners: [HandOver.Listening]) {
        for role in ListenerRole.allCases { send("FDSTOREREMOVE=1\nFDNAME=\(ServiceSockets.name(role))") }
        for (role, socket) in listeners { send("FDSTORE=1\nFDNAME=\(ServiceSockets.name(role))", [socket]) }
    }

    private static func send(_ state: String, _ descriptors: [Int32] = []) {
        guard let path = getenv("NOTIFY_SOCKET").map({ String(cString: $0) }), !path.isEmpty else { return }
        MessageSocket.sendDatagram(.init(state, descriptors), to: path)
    }
}

/// Sockets that the service manager has kept, or opened, for this process (sd_listen_fds(3)).
enum ServiceSockets {
    static func name(_ role: ListenerRole) -> String { "martlet-\(role.rawValue)" }

    /// Takes them; nil where there are none for this process.
    static func take() -> InheritedSockets? {
        defer { for name in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] { unsetenv(name) } }
        guard variable("LISTEN_PID") == "\(getpid())", let count = variable("LISTEN_FDS").flatMap({ Int32($0) }),
            (1...64).contains(count)
        else { return nil }
        let names = (variable("LISTEN_FDNAMES") ?? "").split(separator: ":", omittingEmptySubsequences: false)
        var sockets: [InheritedSockets.Socket] = []
        for (index, descriptor) in (firstDescriptor..<firstDescriptor + count).enumerated() {
            _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
            let role = ListenerRole.allCases.first { index < names.count && name($0) == names[index] }
            // Several may have one name: which of them is wanted, their addresses say.
            if let role { sockets.append((role, descriptor)) } else { close(descriptor) }
        }
        return InheritedSockets(sockets)
    }

    private static let firstDescriptor: Int32 = 3

    private static func variable(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }
}
