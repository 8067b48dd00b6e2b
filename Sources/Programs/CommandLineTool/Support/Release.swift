// SPDX-License-Identifier: Apache-2.0

import FunctionModel

/// Which Martlet this is.
enum Release {
    static let number = "0.1.0"
    static let version = ProviderInfo.Version(release: number, sha: "dev")
}
