// SPDX-License-Identifier: Apache-2.0

import Glibc
import NIOCore
import NIOPosix

extension ChannelPipeline.SynchronousOperations {
    /// A second descriptor of what a channel reads from, which is the caller's to close; nil where there is none.
    func copyOfSocket() -> CInt? {
        let copy = try? withUnsafeTransportIfAvailable(of: NIOBSDSocket.Handle.self) { fcntl($0, F_DUPFD_CLOEXEC, 0) }
        return copy.flatMap { $0 >= 0 ? $0 : nil }
    }
}
