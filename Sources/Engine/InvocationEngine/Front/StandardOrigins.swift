// SPDX-License-Identifier: Apache-2.0

import FaultModel
import ProviderContract

extension OriginFactories {
    /// Those for servers, processes and files; servers by TLS only where there is a security.
    public init(security: (any UpstreamSecurity)? = nil) {
        self.init(unknown: { UnknownTarget() })
        register(Upstream.self) { UpstreamPool(UpstreamServer($0, security: security), $1) }
        register(ProcessTarget.self) { ProcessSource($0) }
        register(FolderTarget.self) { FolderSource($0) }
    }
}

/// Stands in where a provider names a kind of target that this program has no factory for.
private final class UnknownTarget: OriginSource {
    func begin(_ call: OriginCall) {
        call.refuse(
            PlatformFault(
                .notSupported,
                "\(call.functionName) runs in a way that this program cannot call.",
                hint: "Its provider and this program may be of different versions."
            )
        )
    }
}
