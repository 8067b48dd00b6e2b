// SPDX-License-Identifier: Apache-2.0

/// One setting of the platform: its names, its default and what it means.
///
/// Help, documentation and parsing use this one table.
public struct SettingDefinition: Sendable {
    /// The name in `martlet.yaml`, which is the flag's without dashes before it.
    public let name: String
    /// Environment variables, the strongest first; OpenFaaS' own names among them (contract §22).
    public let variables: [String]
    /// What holds when nothing is said.
    public let fallback: String
    /// One sentence, with the unit.
    public let help: String

    init(_ name: String, also variables: [String] = [], _ fallback: String, _ help: String) {
        self.name = name
        let own = "MARTLET_" + name.uppercased().replacing("-", with: "_")
        self.variables = [own] + variables
        self.fallback = fallback
        self.help = help
    }
}

/// The settings of `up`, `gateway` and `provider`.
public enum SettingsTable {
    /// All settings, in the order of the documentation.
    public static let definitions: [SettingDefinition] = [
        SettingDefinition("host", "127.0.0.1", "Address to listen on."),
        SettingDefinition("port", also: ["port"], "8080", "Port of the API and the functions; 0 takes a free one."),
        SettingDefinition(
            "management-port",
            "",
            "Port of management (/system/…) in place of port, where only functions are left; 0 takes a free one."
        ),
        SettingDefinition("metrics-port", "8082", "Port of /metrics; 0 takes a free one."),
        SettingDefinition(
            "ui-port",
            "8083",
            "Port of the page for people, /ui/; 0 takes a free one, off leaves the page out."
        ),
        SettingDefinition("ui-host", "", "Address that the page listens on; that of the API by default."),
        SettingDefinition("data-dir", "~/.martlet", "Folder of everything that lasts."),
        SettingDefinition("file", "", "Stack file that martlet up builds and deploys once it is ready."),
        SettingDefinition("auth", also: ["basic_auth"], "true", "Whether managing needs the password."),
        SettingDefinition("provider", "process", "What runs functions: process."),
        SettingDefinition("function-namespace", also: ["function_namespace"], "openfaas-fn", "The default namespace."),
        SettingDefinition(
            "header-timeout",
            also: ["header_timeout"],
            "10s",
            "Most that a client may take for a request's head, from its first byte on; at most the read-timeout."
        ),
        SettingDefinition("read-timeout", also: ["read_timeout"], "60s", "Longest pause of a client that sends."),
        SettingDefinition("write-timeout", also: ["write_timeout"], "60s", "Longest pause of a client that reads."),
        SettingDefinition(
            "upstream-timeout",
            also: ["upstream_timeout"],
            "60s",
            "The gateway's limit of one call; 0 means none."
        ),
        SettingDefinition(
            "head-limit",
            "65536",
            "Longest head of a request or an answer, in bytes, to which each field adds 32; fields have no other limit."
        ),
        SettingDefinition("body-limit", "0", "Longest body of a call, in bytes; 0 means no limit."),
        SettingDefinition(
            "body-memory",
            "67108864",
            "Memory for all bodies that are read whole before anybody hears of them, in bytes; a quarter is kept for reading back."
        ),
        SettingDefinition(
            "body-disk",
            "1073741824",
            "Most bytes that such bodies take on disk when that memory is used up; beyond it calls get 503."
        ),
        SettingDefinition(
            "waiting-limit",
            "10000",
            "Most calls of one function that wait for its first replica; beyond it calls get 503."
        ),
        SettingDefinition("async", "true", "Whether calls are accepted for later (/async-function/)."),
        SettingDefinition("async-body-limit", "16777216", "Longest body of an asynchronous call, in bytes."),
        SettingDefinition(
            "async-worker",
            "true",
            "Whether this process carries asynchronous calls out itself, or leaves them to martlet queue-worker."
        ),
        SettingDefinition(
            "async-lease",
            also: ["ack_wait"],
            "60s",
            "How long a call stays a worker's without a sign of life; calls may take longer than that."
        ),
        SettingDefinition(
            "async-concurrency",
            also: ["max_inflight"],
            "100",
            "Most asynchronous calls of one function at a time, where the function has no limit of its own."
        ),
        SettingDefinition(
            "retry-attempts",
            also: ["max_retry_attempts"],
            "10",
            "Most attempts of an asynchronous call; 0 and 1 mean that it is not tried again."
        ),
        SettingDefinition(
            "retry-first-wait",
            also: ["initial_retry_wait"],
            "10s",
            "The wait behind an asynchronous call's first attempt; it doubles each time."
        ),
        SettingDefinition("retry-longest-wait", also: ["max_retry_wait"], "120s", "The longest wait between attempts."),
        SettingDefinition(
            "retry-codes",
            also: ["retry_http_codes"],
            "408,429,500,502,503,504",
            "Statuses of a function that are tried again."
        ),
        SettingDefinition(
            "retry-backoff",
            also: ["backoff"],
            "full",
            "How waits spread: full (0 to 100 %), equal (50 to 100 %), exponential (no chance)."
        ),
        SettingDefinition("result-limit", "1048576", "Longest body of an answer that is kept, in bytes."),
        SettingDefinition("result-retention", "24h", "How long answers of asynchronous calls are kept."),
        SettingDefinition("call-retention", "336h", "How long dead calls, and the traces of all others, are kept."),
        SettingDefinition(
            "call-ttl",
            "0",
            "How long an asynchronous call may wait once it is due; 0 means for ever."
        ),
        SettingDefinition(
            "nats-url",
            "",
            "NATS servers whose JetStream keeps asynchronous calls, as nats://user:password@host:4222, split by commas; by default the data directory keeps them."
        ),
        SettingDefinition(
            "nats-host",
            also: ["faas_nats_address", "nats_host"],
            "",
            "The same by its name alone, as OpenFaaS has it."
        ),
        SettingDefinition("nats-port", also: ["faas_nats_port", "nats_port"], "4222", "The port of that server."),
        SettingDefinition("nats-creds", "", "File of the credentials (JWT and seed) that NATS wants."),
        SettingDefinition(
            "nats-ca",
            "",
            "File of the authorities (PEM) that NATS servers' certificates are checked against; with it TLS is a must."
        ),
        SettingDefinition(
            "nats-replicas",
            also: ["nats_stream_replicas"],
            "1",
            "On how many servers of a NATS cluster each call is kept: 1, 3 or 5."
        ),
        SettingDefinition(
            "queue-name",
            also: ["queue_name", "faas_nats_channel"],
            "faas-request",
            "The queue's name on the NATS server; its streams begin with OF_ and this."
        ),
        SettingDefinition(
            "worker-name",
            "",
            "By which a worker that starts again knows what it had in flight; the machine's name by default."
        ),
        SettingDefinition(
            "gateway-url",
            also: ["gateway_url"],
            "http://127.0.0.1:8080/",
            "Queue worker alone: the gateway that calls go to."
        ),
        SettingDefinition(
            "autoscaler",
            "auto",
            "Whether replicas follow the load: true, false; auto: with martlet up, not with a part of it."
        ),
        SettingDefinition(
            "prometheus-host",
            also: ["faas_prometheus_host"],
            "",
            "The Prometheus that sums the counts of several gateways and knows loads of custom kinds; none by default."
        ),
        SettingDefinition("prometheus-port", also: ["faas_prometheus_port"], "9090", "The port of that Prometheus."),
        SettingDefinition(
            "public-url",
            "",
            "The address by which others reach this gateway, as https://faas.example.org."
        ),
        SettingDefinition("drain-timeout", "10s", "How long calls may take to end when Martlet stops."),
        SettingDefinition("require-limits", "false", "Refuse limits that this machine does not enforce."),
        SettingDefinition("tls-cert", "", "File of the certificate chain (PEM); with it the API speaks TLS."),
        SettingDefinition("tls-key", "", "File of the certificate's private key (PEM)."),
        SettingDefinition("access-log", "off", "A line per call of a function: off, errors (400 and above), all."),
        SettingDefinition("log-level", "info", "How much is logged: debug, info, warning, error."),
        SettingDefinition("log-format", "auto", "Logs as text or json; auto: text on a terminal."),
        SettingDefinition(
            "functions-provider-url",
            also: ["functions_provider_url"],
            "",
            "Gateway alone: the provider's address, as https://provider.example:8081/; a user and a password in it go before those of files."
        ),
        SettingDefinition(
            "provider-ca",
            "",
            "File of the authorities (PEM) that the certificate of the provider, or of a queue worker's gateway, must lead to; those that the machine trusts by default."
        ),
        SettingDefinition("provider-cert", "", "File of the certificate chain (PEM) that this server is shown."),
        SettingDefinition("provider-key", "", "File of the private key (PEM) of that certificate."),
        SettingDefinition(
            "provider-server-name",
            "",
            "The name that this server's certificate is for, where it is not that of its address."
        ),
        SettingDefinition(
            "secret-mount-path",
            also: ["secret_mount_path"],
            "",
            "Folder of basic-auth-user and basic-auth-password; the data directory by default."
        ),
    ]
}
