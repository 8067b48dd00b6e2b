// SPDX-License-Identifier: Apache-2.0

import AsyncHTTPClient
import Foundation
import NIOCore
import SystemClient
import TestSupport
import Testing

/// The API as a client sees it on the wire, section by section of `Documentation/contracts/openfaas.md`.
@Suite(.serialized)
struct ContractTests {
    private let folder = TemporaryFolder()

    private func start() async throws -> RunningMartlet {
        try await RunningMartlet(dataDirectory: folder.path + "/data")
    }

    private func object(_ text: String) throws -> [String: Any] {
        try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any], "\(text)")
    }

    private let env = #"{"service":"env","image":"host","envProcess":"env"}"#

    /// Asks with the credentials what no client library would ask.
    private func exchange(_ martlet: RunningMartlet, _ line: String) async throws -> String {
        let password = try String(contentsOfFile: "\(martlet.dataDirectory)/basic-auth-password", encoding: .utf8)
        let login = "admin:\(password.trimmingCharacters(in: .whitespacesAndNewlines))"
        let token = Data(login.utf8).base64EncodedString()
        let connection = try RawConnection(port: martlet.port)
        try await connection.send(
            "\(line) HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Basic \(token)\r\n\r\n"
        )
        return try await connection.receive()
    }

    @Test func `managing needs both parts of the password, calling does not (§2.1)`() async throws {
        let martlet = try await start()
        _ = try await martlet.ask("POST", "/system/functions", env)
        let closed = [
            "/system/functions", "/system/function/env", "/system/secrets", "/system/namespaces", "/system/namespace/x",
            "/system/logs?name=env", "/system/info", "/system/bundles",
        ]
        func token(_ text: String) -> String { "Basic " + Data(text.utf8).base64EncodedString() }
        for path in closed {
            for authorization in [nil, token("admin:wrong"), token("root:" + "x"), "Bearer x", "Basic %%%"] {
                let headers = authorization.map { [(name: "Authorization", value: $0)] } ?? []
                let answer = try await martlet.ask("GET", path, headers: headers, withLogin: false)
                #expect(answer.status == 401, "\(path) \(answer)")
                // Martlet's own routes answer in JSON (OpenFaaS' clients compare the others' 19 bytes).
                let isOwn = path == "/system/bundles"
                #expect(isOwn ? answer.body.hasPrefix("{") : answer.body == "invalid credentials", "\(path) \(answer)")
                #expect(answer.headers["www-authenticate"] == "Basic realm=\"Restricted\"")
            }
        }
        for method in ["POST", "PUT", "DELETE"] {
            #expect(try await martlet.ask(method, "/system/functions", "{}", withLogin: false).status == 401)
        }
        #expect(try await martlet.ask("POST", "/system/alert", "{}", withLogin: false).status == 401)
        #expect(try await martlet.ask("DELETE", "/async-function/1", withLogin: false).status == 401)
        #expect(try await martlet.ask("GET", "/function/env", withLogin: false).status == 200)
        #expect(try await martlet.ask("GET", "/healthz", withLogin: false).status == 200)
        _ = await martlet.stop()
    }

    @Test func `unknown paths are 404, other methods 405, and nothing is redirected but the root (§3, §29)`()
        async throws
    {
        let martlet = try await start()
        _ = try await martlet.ask("POST", "/system/functions", env)
        let root = try await martlet.ask("GET", "/", withLogin: false)
        #expect(root.status == 307 && root.headers["location"] == "/ui/")
        for path in ["/nothing", "/system/nothing", "/metrics"] {
            #expect(try await martlet.ask("GET", path).status == 404, "\(path)")
        }
        let nameless = try await martlet.ask("GET", "/function/", withLogin: false)
        #expect(nameless.status == 400 && nameless.body == "Provide function name in the request path\n")
        for (method, path) in [
            ("PATCH", "/system/functions"), ("POST", "/system/function/env"), ("GET", "/system/scale-function/env"),
            ("POST", "/system/logs"), ("GET", "/system/alert"), ("PUT", "/system/info"),
        ] {
            #expect(try await martlet.ask(method, path).status == 405, "\(method) \(path)")
        }
        for (line, allowed) in [
            ("TRACE /system/functions", "DELETE, GET, HEAD, POST, PUT"), ("get /system/info", "GET, HEAD"),
            ("POST /", "GET, HEAD"), ("MAKEUP /ui/", "GET, HEAD"), ("TRACE /healthz", "GET, HEAD"),
        ] {
            let answer = try await exchange(martlet, line)
            #expect(answer.hasPrefix("HTTP/1.1 405 ") && answer.contains("Allow: \(allowed)\r\n"), "\(line) \(answer)")
        }
        let page = try await exchange(martlet, "HEAD /ui/")
        #expect(page.hasPrefix("HTTP/1.1 307 ") && page.hasSuffix("\r\n\r\n"), "\(page)")
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            let answer = try await martlet.ask(method, "/function/env//a/./b/../c%2Fd?q=%20", withLogin: false)
            #expect(answer.status == 200 && answer.body.contains("Http_Path=//a/./b/../c/d\n"), "\(method) \(answer)")
            #expect(answer.body.contains("Http_Method=\(method)\n"))
        }
        #expect(try await martlet.ask("HEAD", "/function/env", withLogin: false).status == 200)
        for path in ["/function/env/_/health", "/function/env/_/ready", "/function/env./x", "/function/no%2Fenv"] {
            let answer = try await martlet.ask("GET", path, withLogin: false)
            #expect(answer.status == 404 && answer.headers["x-openfaas-internal"] != nil, "\(path) \(answer)")
            #expect(answer.headers["x-call-id"]?.isEmpty == false && answer.headers["x-start-time"] != nil)
        }
        _ = await martlet.stop()
    }

    @Test func `pre-flights and compressed bodies are the function's own business (§5, §29)`() async throws {
        let martlet = try await start()
        let script = folder.write(
            "cors.py",
            """
            import http.server, os, gzip
            class Handler(http.server.BaseHTTPRequestHandler):
                protocol_version = "HTTP/1.1"
                def do_OPTIONS(self):
                    self.send_response(204)
                    self.send_header("Access-Control-Allow-Origin", self.headers["Origin"])
                    self.end_headers()
                def do_POST(self):
                    body = self.rfile.read(int(self.headers["Content-Length"]))
                    assert gzip.decompress(body) == b"hello" and self.headers["Content-Encoding"] == "gzip"
                    self.send_response(200)
                    self.send_header("Content-Encoding", "gzip")
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                def log_message(self, *_): pass
            http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
            """
        )
        let body = #"{"service":"cors","image":"host","envProcess":"python3 \#(script)","envVars":{"mode":"http"}}"#
        #expect(try await martlet.ask("POST", "/system/functions", body).status == 202)
        let origin = [
            (name: "Origin", value: "https://a.example"), (name: "Access-Control-Request-Method", value: "POST"),
        ]
        let flight = try await martlet.ask("OPTIONS", "/function/cors", headers: origin, withLogin: false)
        #expect(flight.status == 204 && flight.headers["access-control-allow-origin"] == "https://a.example")
        let packed = Data(base64Encoded: "H4sIAAAAAAACA8tIzcnJBwCGphA2BQAAAA==")!
        let answer = try await martlet.client.send(
            "POST",
            "/function/cors",
            headers: [(name: "Content-Encoding", value: "gzip")],
            body: .bytes(packed),
            withLogin: false
        )
        #expect(answer.status == 200)
        #expect(answer.headers.contains { $0.name.lowercased() == "content-encoding" && $0.value == "gzip" })
        #expect(try await martlet.client.collect(answer) == packed)
        _ = await martlet.stop()
    }

    @Test func `a call carries id, start and duration, a client's own id comes back (§5.1)`() async throws {
        let martlet = try await start()
        _ = try await martlet.ask("POST", "/system/functions", env)
        let plain = try await martlet.ask("GET", "/function/env.openfaas-fn", withLogin: false)
        let id = try #require(plain.headers["x-call-id"])
        #expect(UUID(uuidString: id) != nil && plain.body.contains("Http_X_Call_Id=\(id)\n"))
        #expect(plain.headers["x-served-by"]?.hasPrefix("martlet/") == true)
        let start = try #require(plain.headers["x-start-time"].flatMap { Int64($0) })
        #expect(abs(Double(start) / 1e9 - Date().timeIntervalSince1970) < 60)
        #expect(plain.body.contains("Http_X_Start_Time=\(start)\n"))
        #expect(plain.headers["x-duration-seconds"].flatMap { Double($0) } != nil)
        let own = try await martlet.ask("GET", "/function/env", headers: [(name: "X-Call-Id", value: "mine")])
        #expect(own.headers["x-call-id"] == "mine" && own.body.contains("Http_X_Call_Id=mine\n"))
        _ = await martlet.stop()
    }

    @Test func `a function is made once, listed as deployed, updated only where it is (§8.1–§8.6)`() async throws {
        let martlet = try await start()
        let full = """
            {"service":"full","image":"host","envProcess":"env","envVars":{"A":"1"},"labels":{"l":"v"},
             "annotations":{"topic":"t"},"limits":{"memory":"64Mi","cpu":"500m"},"constraints":["a=b"],
             "requests":{"memory":"32Mi"},"network":"ignored","unknownField":{"a":[1]}}
            """
        #expect(try await martlet.ask("PUT", "/system/functions", full).status == 404)
        let made = try await martlet.ask("POST", "/system/functions", full)
        #expect(made.status == 202 && made.body.isEmpty)
        #expect(try await martlet.ask("POST", "/system/functions", full).status == 409)
        let list = try await martlet.ask("GET", "/system/functions?namespace=openfaas-fn")
        #expect(list.headers["content-type"] == "application/json")
        let entries = try JSONSerialization.jsonObject(with: Data(list.body.utf8)) as? [[String: Any]]
        let entry = try #require(entries?.first)
        #expect(entry["name"] as? String == "full" && entry["namespace"] as? String == "openfaas-fn")
        #expect(entry["invocationCount"] == nil, "left out when 0")
        #expect(entry["envProcess"] as? String == "env" && (entry["labels"] as? [String: String])?["l"] == "v")
        #expect((entry["annotations"] as? [String: String])?["topic"] == "t")
        #expect((entry["limits"] as? [String: String]) == ["memory": "64Mi", "cpu": "500m"])
        #expect((entry["createdAt"] as? String)?.hasSuffix("Z") == true && entry["replicas"] as? Int == 1)
        let status = try await martlet.ask("GET", "/system/function/full?namespace=openfaas-fn&usage=1")
        let usage = try object(status.body)["usage"] as? [String: Any]
        #expect(status.status == 200 && usage?["totalMemoryBytes"] != nil)
        #expect(try await martlet.ask("GET", "/system/function/none").status == 404)
        #expect(try await martlet.ask("GET", "/system/functions?namespace=none").status == 400)
        #expect(try await martlet.ask("PUT", "/system/functions", full).status == 202)
        #expect(try await martlet.ask("PUT", "/system/functions", "{\"service\":\"full\"}").status == 400)
        let kept = try await martlet.ask("GET", "/system/function/full").body
        #expect(try object(kept)["image"] as? String == "host")
        _ = await martlet.stop()
    }

    @Test func `a namespace is taken from the body or from the query (§8.7, §8.8)`() async throws {
        let martlet = try await start()
        #expect(
            try await martlet.ask("POST", "/system/namespace/", #"{"name":"team","labels":{"openfaas":"1"}}"#).status
                == 201
        )
        for name in ["a", "b"] {
            let body = #"{"service":"\#(name)","namespace":"team","image":"host","envProcess":"env"}"#
            #expect(try await martlet.ask("POST", "/system/functions", body).status == 202)
        }
        func scale(_ path: String, _ body: String) async throws -> Int {
            try await martlet.ask("POST", "/system/scale-function/\(path)", body).status
        }
        #expect(try await scale("a?namespace=team", #"{"serviceName":"a","replicas":2}"#) == 202)
        #expect(try await scale("a", #"{"serviceName":"a","replicas":3,"namespace":"team"}"#) == 202)
        let scaled = try await martlet.ask("GET", "/system/function/a?namespace=team").body
        #expect(try object(scaled)["replicas"] as? Int == 3)
        for body in [
            "null", "{}", "[]", #"{"replicas":-1}"#, #"{"replicas":"2"}"#, #"{"replicas":18446744073709551615}"#,
        ] {
            #expect(try await scale("a?namespace=team", body) == 400, "\(body)")
        }
        #expect(try await scale("a?namespace=team", #"{"serviceName":"b","replicas":1}"#) == 400)
        #expect(try await scale("a", #"{"replicas":1}"#) == 404)
        #expect(
            try await martlet.ask("DELETE", "/system/functions", #"{"functionName":"a","namespace":"team"}"#).status
                == 202
        )
        #expect(
            try await martlet.ask("DELETE", "/system/functions?namespace=team", #"{"functionName":"b"}"#).status == 202
        )
        for body in ["", "{", "{}", #"{"functionName":""}"#] {
            #expect(try await martlet.ask("DELETE", "/system/functions", body).status == 400, "\(body)")
        }
        _ = await martlet.stop()
    }

    @Test func `secrets have the statuses that clients take, and values never come back (§9)`() async throws {
        let martlet = try await start()
        func ask(_ method: String, _ body: String) async throws -> Int {
            try await martlet.ask(method, "/system/secrets", body).status
        }
        #expect(try await ask("POST", #"{"name":"a","value":"plain"}"#) == 202)
        #expect(try await ask("POST", #"{"name":"a","value":"again"}"#) == 409)
        #expect(try await ask("PUT", #"{"name":"a","value":"lost","rawValue":"cmF3"}"#) == 202)
        #expect(try await ask("PUT", #"{"name":"b","value":"x"}"#) == 404)
        #expect(try await ask("POST", #"{"name":"../b","value":"x"}"#) == 400)
        #expect(try await ask("POST", #"{"name":"c","rawValue":"%%"}"#) == 400)
        let list = try await martlet.ask("GET", "/system/secrets?namespace=openfaas-fn")
        let expected = #"[{"name":"a","namespace":"openfaas-fn"}]"#
        #expect(
            list.status == 200 && list.body == expected && list.headers["content-type"] == "application/json",
            "\(list)"
        )
        let read =
            #"{"service":"read","image":"host","envProcess":"\#(folder.write("r.sh", "cat $secret_mount_path/a"))"}"#
            .replacing(#""envProcess":""#, with: #""secrets":["a"],"envProcess":"sh "#)
        #expect(try await martlet.ask("POST", "/system/functions", read).status == 202)
        #expect(try await martlet.call("read").body == "raw", "rawValue wins over value")
        #expect(try await martlet.ask("DELETE", "/system/functions", #"{"functionName":"read"}"#).status == 202)
        #expect(try await ask("DELETE", #"{"name":"a"}"#) == 202)
        #expect(try await ask("DELETE", #"{"name":"a"}"#) == 404)
        #expect(try await martlet.ask("GET", "/system/secrets").body == "[]")
        _ = await martlet.stop()
    }

    @Test func `namespaces are made, marked and removed as the SDK does it (§10)`() async throws {
        let martlet = try await start()
        func ask(_ method: String, _ path: String, _ body: String? = nil) async throws -> Int {
            try await martlet.ask(method, "/system/namespace/\(path)", body).status
        }
        #expect(
            try await ask("POST", "", #"{"name":"n1","labels":{"openfaas":"1"},"annotations":{"openfaas":"1"}}"#) == 201
        )
        #expect(try await ask("POST", "n2", #"{"name":"n2","labels":{"openfaas":"1"}}"#) == 201)
        #expect(try await ask("POST", "", #"{"name":"n1","labels":{"openfaas":"1"}}"#) == 409)
        #expect(try await ask("POST", "", "{}") == 400)
        #expect(try await ask("POST", "n3", #"{"name":"n4","labels":{"openfaas":"1"}}"#) == 400)
        #expect(try await ask("PUT", "n1", #"{"name":"n1","labels":{"openfaas":"1","a":"b"}}"#) == 202)
        #expect(try await ask("PUT", "none", #"{"name":"none","labels":{"openfaas":"1"}}"#) == 404)
        let one = try object(try await martlet.ask("GET", "/system/namespace/n1").body)
        #expect(one["name"] as? String == "n1" && (one["labels"] as? [String: String])?["a"] == "b")
        #expect(try await ask("GET", "none") == 404)
        #expect(try await martlet.ask("GET", "/system/namespaces").body == #"["openfaas-fn","n1","n2"]"#)
        #expect(try await ask("DELETE", "n1", #"{"name":"n1","labels":{"openfaas":"1"}}"#) == 202)
        #expect(try await ask("DELETE", "n1", #"{"name":"n1"}"#) == 404)
        #expect(try await ask("DELETE", "openfaas-fn", #"{"name":"openfaas-fn"}"#) >= 400)
        _ = await martlet.stop()
    }

    @Test func `a log is lines of JSON, cut by tail and since, and followed as it grows (§11)`() async throws {
        let martlet = try await start()
        let script = folder.write("say.sh", "echo \"said $Http_Path\" >&2")
        let body = #"{"service":"say","image":"host","envProcess":"sh \#(script)"}"#
        #expect(try await martlet.ask("POST", "/system/functions", body).status == 202)
        for number in 1...3 { #expect(try await martlet.call("say/\(number)").status == 200) }
        #expect(try await eventually { try await martlet.ask("GET", "/system/logs?name=say").body.contains("said /3") })
        let all = try await martlet.ask("GET", "/system/logs?name=say&tail=-1")
        #expect(all.headers["content-type"] == "application/x-ndjson")
        let lines = try all.body.split(separator: "\n").map { try object(String($0)) }
        #expect(lines.compactMap { $0["text"] as? String } == ["said /1", "said /2", "said /3"])
        #expect(lines.allSatisfy { $0["name"] as? String == "say" && $0["namespace"] as? String == "openfaas-fn" })
        #expect(lines.allSatisfy { ($0["timestamp"] as? String)?.hasSuffix("Z") == true && $0["instance"] is String })
        #expect(try await martlet.ask("GET", "/system/logs?name=say&tail=1").body.contains("said /3"))
        #expect(try await martlet.ask("GET", "/system/logs?name=say&tail=1").body.contains("said /2") == false)
        #expect(try await martlet.ask("GET", "/system/logs?name=say&since=2199-01-01T00:00:00Z").body.isEmpty)
        #expect(try await martlet.ask("GET", "/system/logs?name=say&since=yesterday").status == 400)
        let followed = try await martlet.client.send("GET", "/system/logs?name=say&tail=1&follow=1")
        _ = try await martlet.call("say/4")
        var seen = ""
        for try await piece in followed.body {
            seen += String(buffer: piece)
            if seen.contains("said /4") { break }
        }
        #expect(seen.contains("said /3") && seen.contains("said /4"))
        _ = await martlet.stop()
    }

    @Test func `info, health and telemetry say what clients print (§12.1–§12.3)`() async throws {
        let martlet = try await start()
        let info = try object(try await martlet.ask("GET", "/system/info").body)
        let provider = try #require(info["provider"] as? [String: Any])
        #expect(
            provider["orchestration"] as? String == "process" && (provider["provider"] as? String)?.isEmpty == false
        )
        let versions = [info["version"], provider["version"]].map { ($0 as? [String: String])?["release"] }
        #expect(versions.allSatisfy { $0?.isEmpty == false })
        #expect(["x86_64", "arm64", "aarch64"].contains(info["arch"] as? String))
        let health = try await martlet.ask("GET", "/healthz", withLogin: false)
        #expect(health.status == 200)
        let metrics = SystemClient(
            baseURL: "http://127.0.0.1:\(martlet.metricsPort)",
            login: nil,
            http: RunningMartlet.http
        )
        let own = try await metrics.send("GET", "/healthz")
        #expect(own.status == 200)
        #expect(try await metrics.collect(own) == Data("OK".utf8))
        #expect(try await metrics.send("POST", "/healthz").status == 405)
        #expect(try await metrics.send("GET", "/other").status == 404)
        #expect(try await martlet.ask("GET", "/system/telemetry").status == 404)
        _ = await martlet.stop()
    }

    @Test func `an alert raises replicas by a step and lowers them when resolved (§12.4)`() async throws {
        let martlet = try await start()
        let body = #"{"service":"env","image":"host","envProcess":"env","labels":{"com.openfaas.scale.max":"10"}}"#
        #expect(try await martlet.ask("POST", "/system/functions", body).status == 202)
        func alert(_ status: String, _ function: String) async throws -> Int {
            let alert =
                #"{"status":"\#(status)","alerts":[{"status":"\#(status)","labels":{"function_name":"\#(function)"}}]}"#
            return try await martlet.ask("POST", "/system/alert", alert).status
        }
        func replicas() async throws -> Int? {
            try object(try await martlet.ask("GET", "/system/function/env").body)["replicas"] as? Int
        }
        #expect(try await alert("firing", "env.openfaas-fn") == 200)
        #expect(try await replicas() == 2)
        #expect(try await alert("firing", "env") == 200)
        #expect(try await replicas() == 3)
        #expect(try await alert("resolved", "env") == 200)
        #expect(try await replicas() == 1)
        #expect(try await alert("firing", "nobody") == 200)
        for body in ["null", "{}", #"{"alerts":[{"status":"firing","labels":{}}]}"#] {
            #expect(try await martlet.ask("POST", "/system/alert", body).status == 200, "\(body)")
        }
        for body in ["", "{", "5"] {
            #expect(try await martlet.ask("POST", "/system/alert", body).status == 400, "\(body)")
        }
        _ = await martlet.stop()
    }

    @Test func `what an alert can never change is logged, and functions of the autoscaler are left alone (§12.4)`()
        async throws
    {
        let martlet = try await start()
        for body in [
            // A fixed port leaves room for one replica only.
            #"{"service":"fixed","image":"host","envProcess":"sleep 1000","envVars":{"mode":"http","#
                + #""upstream_url":"http://127.0.0.1:9"}}"#,
            #"{"service":"free","image":"host","envProcess":"env"}"#,
            #"{"service":"own","image":"host","envProcess":"env","labels":{"com.openfaas.scale.target":"50"}}"#,
        ] { #expect(try await martlet.ask("POST", "/system/functions", body).status == 202) }
        #expect(try await martlet.ask("PUT", "/system/namespace/other", "{}").status < 500)
        let names = ["fixed", "own", "free.openfaas-fn", "free.other"]
        let alerts = names.map { #"{"labels":{"function_name":"\#($0)"}}"# }.joined(separator: ",")
        let answer = try await martlet.ask("POST", "/system/alert", #"{"status":"firing","alerts":[\#(alerts)]}"#)
        #expect(answer.status == 200, "\(answer)")
        #expect(await martlet.prints("an alert was refused"))
        #expect(martlet.output.contains("fixed.openfaas-fn names a fixed port"))
        func replicas(_ name: String) async throws -> Int? {
            try object(try await martlet.ask("GET", "/system/function/\(name)").body)["replicas"] as? Int
        }
        #expect(try await replicas("free") == 3)
        #expect(try await replicas("own") == 1)
        #expect(try await replicas("fixed") == 1)
        _ = await martlet.stop()
    }
}
