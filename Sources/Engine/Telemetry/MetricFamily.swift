// SPDX-License-Identifier: Apache-2.0

/// A metric with its samples at one moment, as Prometheus understands it.
public struct MetricFamily: Sendable, Equatable {
    /// What a metric's numbers mean.
    public enum Kind: String, Sendable {
        /// Only rises, until the program starts again.
        case counter
        /// Rises and falls.
        case gauge
        /// Counts per range of values.
        case histogram
    }

    /// One number.
    public struct Sample: Sendable, Equatable {
        /// What is appended to the family's name: `_bucket`, `_sum`, `_count`, or nothing.
        public var suffix: String
        /// Labels in the order of writing.
        public var labels: [Label]
        /// The number.
        public var value: Double

        /// Makes a sample.
        public init(suffix: String = "", labels: [Label] = [], value: Double) {
            self.suffix = suffix
            self.labels = labels
            self.value = value
        }
    }

    /// A label's name and value.
    public struct Label: Sendable, Equatable {
        /// The name.
        public var name: String
        /// The value, in any characters.
        public var value: String

        /// Makes a label.
        public init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    /// The full name, `_total` of a counter included where it has one.
    public var name: String
    /// What its numbers mean.
    public var kind: Kind
    /// One sentence.
    public var help: String
    /// The numbers.
    public var samples: [Sample]

    /// Makes a family.
    public init(_ name: String, _ kind: Kind, help: String, samples: [Sample]) {
        self.name = name
        self.kind = kind
        self.help = help
        self.samples = samples
    }

    /// A family of one number without labels.
    public init(_ name: String, _ kind: Kind, help: String, value: Double) {
        self.init(name, kind, help: help, samples: [Sample(value: value)])
    }
}
