// SPDX-License-Identifier: Apache-2.0

/// Which Martlet this is.
///
/// The one place that its version stands in: `scripts/release` reads it here, `scripts/lint` checks what repeats it.
public enum Release {
    /// The version, as semantic versioning counts.
    public static let number = "0.1.0"
}
