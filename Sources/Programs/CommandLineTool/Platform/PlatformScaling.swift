// SPDX-License-Identifier: Apache-2.0

import AsyncHTTPClient
import AutoscalerService
import GatewayService
import PrometheusClient
import SystemClient

/// How replicas follow the load, as the settings have it.
extension ScalingSettings {
    /// What of the platform runs.
    enum Extent {
        case whole
        /// A gateway or a provider alone: several of them may be there, and only one may scale.
        case part
    }

    func gateway(of extent: Extent) -> Gateway.Scaling {
        let isOn = autoscaling == .on || (autoscaling == .auto && extent == .whole)
        return Gateway.Scaling(
            isOn: isOn,
            prometheus: prometheusURL.map {
                PrometheusClient(baseURL: $0, http: SystemClient.makeHTTPClient(readTimeout: .seconds(5)))
            }
        )
    }
}
