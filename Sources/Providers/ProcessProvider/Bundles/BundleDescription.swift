// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation

/// What a bundle says of itself: `bundle.json` (martlet-api "Bundles").
struct BundleDescription: Sendable, Codable, Equatable {
    var fprocess: String?
    var mode: String?
    var environment: [String: String]?
    /// The folder in the bundle where the program starts.
    var workdir: String?
    var language: String?

    /// Reads the description of an unpacked bundle.
    init(folder: String) throws(PlatformFault) {
        do {
            let data = try Data(contentsOf: URL(fileURLWithPath: "\(folder)/bundle.json"))
            self = try JSONDecoder().decode(BundleDescription.self, from: data)
        } catch {
            throw PlatformFault(
                .malformedBody,
                "The bundle has no readable bundle.json.",
                hint: "Build it again: martlet build",
                cause: error
            )
        }
        if let workdir, BundlePath.isAbsolute(workdir) || BundlePath.parts(workdir).contains(where: BundlePath.isUp) {
            throw PlatformFault(.malformedBody, "The bundle's workdir leads out of the bundle.")
        }
    }
}
