// SPDX-License-Identifier: Apache-2.0

import ProviderContract

/// One replica as one event loop sees it.
final class LocalReplica {
    let replica: Replica
    /// What carries out calls there.
    let source: any OriginSource

    /// One that is retired already is there for a single call more.
    init(_ replica: Replica, _ origins: OriginFactories, isRetired: Bool = false) {
        self.replica = replica
        source = origins.source(for: replica)
        if isRetired { source.retire() }
    }
}
