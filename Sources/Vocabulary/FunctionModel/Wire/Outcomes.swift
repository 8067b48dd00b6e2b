// SPDX-License-Identifier: Apache-2.0

/// What an update of a function brought about.
///
/// On the wire both are 202; `unchanged` has the header field `X-Martlet-Unchanged: true`.
public enum UpdateOutcome: Sendable, Equatable {
    /// There is a new revision.
    case newRevision
    /// The deployment asked for what there is: nothing was done.
    case unchanged

    /// The header field that tells them apart.
    public static let field = "X-Martlet-Unchanged"
}

/// Who sees a secret's new value; the header field `X-Martlet-Secret-Reach` of the answer to an update.
public enum SecretReach: String, Sendable, Equatable {
    /// Those that run, too: their files were replaced.
    case runningReplicas = "running"
    /// Only those that are started from now on.
    case laterReplicas = "later"

    /// The header field that tells it.
    public static let field = "X-Martlet-Secret-Reach"
}
