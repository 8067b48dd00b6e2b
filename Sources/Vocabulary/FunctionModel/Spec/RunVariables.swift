// SPDX-License-Identifier: Apache-2.0

/// What variables say of how a function runs (contract §15.2); nil where they say nothing.
struct RunVariables {
    let functionProcess: String?
    let process: String?
    let mode: String?
    let upstreamURL: String?
    let execTimeout: Duration?
    let gracePeriod: Duration?
    /// 0 means no limit.
    let maxInFlight: Int?
    let buffersRequestBody: Bool
    let contentType: String?
    let readyPath: String?
    let logLineLimit: Int?

    init(_ reader: inout SpecReader) {
        functionProcess = reader.variables["function_process"]
        process = reader.variables["fprocess"]
        mode = reader.variables["mode"]
        upstreamURL = reader.variables["http_upstream_url"] ?? reader.variables["upstream_url"]
        execTimeout = reader.duration(variable: "exec_timeout")
        gracePeriod = reader.duration(variable: "grace_period")
        maxInFlight = reader.number(variable: "max_inflight", in: 0...Int(Int32.max))
        buffersRequestBody = reader.flag(variable: "http_buffer_req_body") || reader.flag(variable: "buffer_http")
        contentType = reader.variables["content_type"]
        readyPath = reader.variables["ready_path"]
        logLineLimit = reader.number(variable: "log_buffer_size", in: -1...Int(Int32.max))
    }

    /// The words of the command, that of a deployment or a bundle standing between the two variables.
    func command(_ line: String?) -> [String] {
        let line = functionProcess ?? line ?? process ?? ""
        return line.split(separator: " ").map(String.init)
    }
}
