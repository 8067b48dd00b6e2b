// SPDX-License-Identifier: Apache-2.0

import FunctionModel

extension Release {
    /// What `/system/info` says of it.
    static let version = ProviderInfo.Version(release: number, sha: "dev")
}
