// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionModel
import ProcessControl
import SystemClient
import TestSupport
import Testing

/// A real browser, whose user is logged in, on the page of a function that means harm.
@Suite(.enabled("needs chromium and python3: scripts/test --with-peers", Chromium.isThere))
struct BrowserTests {
    private let folder = TemporaryFolder()

    @Test func `a function's page does nothing with the rights of an operator who is logged in`() async throws {
        let martlet = try await RunningMartlet(dataDirectory: folder.path + "/data")
        let harm = folder.write("harm.html", Self.harm)
        try await martlet.client.create(FunctionDeployment(service: "victim", image: "host", envProcess: "env"))
        try await martlet.client.create(
            FunctionDeployment(
                service: "harm",
                image: "host",
                envProcess: "cat \(harm)",
                envVars: ["content_type": "text/html"]
            )
        )
        let password = try String(contentsOfFile: folder.path + "/data/basic-auth-password", encoding: .utf8)
        let visit = try await Chromium.run(
            password: password.trimmingCharacters(in: .whitespacesAndNewlines),
            // As people do: the page by its old address, the API in the address bar, then what a function shows.
            addresses: ["/ui/", "/system/functions", "/function/harm?\(martlet.pagePort)"]
                .map { "http://127.0.0.1:\(martlet.port)\($0)" },
            in: folder
        )
        #expect(visit.titles.first == "Martlet", "\(visit)")
        #expect(visit.texts.first?.contains("victim") == true, "the operator sees the page")
        #expect(visit.texts.first?.contains("/* styled */") == true, "with its style: \(visit)")
        #expect(visit.challengers == ["http://127.0.0.1:\(martlet.pagePort)"], "a password for another origin")
        #expect(visit.harmDone == [], "\(visit.harmDone)")
        #expect(visit.harmTried.count == 20, "\(visit.harmTried)")
        #expect(try await martlet.client.functions(in: nil).map(\.name) == ["harm", "victim"])
        #expect(try await martlet.client.function("victim", in: nil).replicas == 1)
        #expect(await martlet.stop() == 0)
    }

    /// Tries what a page can try against both origins, and tells what it got hold of.
    private static let harm = """
        <!doctype html><title>Harm</title><body><script>
        const api = location.origin, page = 'http://127.0.0.1:' + location.search.slice(1);
        const within = (promise) => Promise.race([promise, new Promise((_, no) => setTimeout(no, 1500, 'nothing'))]);
        const change = (method, body) => ({ method, body: JSON.stringify(body), credentials: 'include' });
        const planted = { service: 'planted', image: 'host', envProcess: 'env' };
        async function ask(url, options) {
          const answer = await fetch(url, { credentials: 'include', ...options });
          if (!answer.ok) throw answer.status;
          return await answer.text();
        }
        function element(name, fields) {
          return new Promise((yes, no) => {
            const made = Object.assign(document.createElement(name), { onload: () => yes(made), onerror: no }, fields);
            document.body.append(made);
          });
        }
        function form(url) {
          const form = Object.assign(document.createElement('form'), { action: url, method: 'post', target: 'sink' });
          form.enctype = 'text/plain';
          const field = { name: '{"service":"planted","image":"host","envProcess":"env","x":"', value: '"}' };
          form.append(Object.assign(document.createElement('input'), field));
          document.body.append(Object.assign(document.createElement('iframe'), { name: 'sink' }), form);
          form.submit();
          return new Promise((yes, no) => setTimeout(no, 1000, 'submitted'));
        }
        async function frame(url) { return (await element('iframe', { src: url })).contentDocument.body.innerText; }
        async function shown(url) { const text = await frame(url); if (!text.includes('victim')) throw text; }
        async function opened(url) {
          const other = window.open(url);
          await new Promise((yes) => setTimeout(yes, 1000));
          const text = other.document.body.innerText;
          other.close();
          if (!text.includes('victim')) throw text;
        }
        const socket = (url) => new Promise((yes, no) => Object.assign(new WebSocket(url), { onopen: yes, onerror: no }));
        const events = (url) => new Promise((yes, no) =>
          Object.assign(new EventSource(url, { withCredentials: true }), { onopen: yes, onerror: no }));
        const attempts = {
          listAPI: () => ask(api + '/system/functions'),
          listAPISame: () => ask('/system/functions', { mode: 'same-origin' }),
          remove: () => ask(api + '/system/functions', change('DELETE', { functionName: 'victim' })),
          plant: () => ask(api + '/system/functions', change('POST', planted)),
          scale: () => ask(api + '/system/scale-function/victim', change('POST', { service: 'victim', replicas: 0 })),
          form: () => form(api + '/system/functions'),
          frameAPI: () => shown(api + '/system/functions'),
          eventsAPI: () => events(api + '/system/watch'),
          socketAPI: () => socket(api.replace('http', 'ws') + '/system/watch'),
          readPage: () => ask(page + '/ui/'),
          readPageAlready: () => ask(page + '/ui/', { cache: 'force-cache' }),
          removeByPage: () => ask(page + '/system/functions', change('DELETE', { functionName: 'victim' })),
          blindByPage: () => ask(page + '/system/functions', { mode: 'no-cors', method: 'POST', body: '{}' }),
          formPage: () => form(page + '/system/functions'),
          framePage: () => shown(page + '/ui/'),
          frameAddress: () => shown(api + '/ui/'),
          image: () => element('img', { src: page + '/ui/' }),
          script: () => element('script', { src: page + '/ui/' }),
          window: () => opened(page + '/ui/'),
          socketPage: () => socket(page.replace('http', 'ws') + '/ui/'),
        };
        async function attack() {
          const done = [];
          for (const [name, attempt] of Object.entries(attempts)) {
            try { await within(attempt()); done.push(name); } catch (why) { /* It did not work. */ }
          }
          return JSON.stringify({ tried: Object.keys(attempts), done });
        }
        </script>
        """
}

/// Chromium, driven by its debugging protocol through a pipe.
enum Chromium {
    /// What a visit was like.
    struct Visit: Decodable {
        /// The titles of the pages, in the order of their addresses.
        var titles: [String]
        /// Their texts.
        var texts: [String]
        /// The origins that asked for a password, and were given it.
        var challengers: [String]
        /// What the last page tried.
        var harmTried: [String]
        /// What of that worked.
        var harmDone: [String]
    }

    private static let environment = ["PATH": "/usr/local/bin:/usr/bin:/bin"]

    @Sendable static func isThere() async -> Bool {
        for program in ["chromium", "python3"] {
            let run = try? await ProgramRun.run([program, "--version"], environment: environment, in: "/")
            guard run?.isSuccess == true else { return false }
        }
        return true
    }

    /// Opens addresses one after another in one window, giving the password to whoever asks for it, and lets the last
    /// page do its worst.
    static func run(password: String, addresses: [String], in folder: TemporaryFolder) async throws -> Visit {
        let script = folder.write("drive.py", driver)
        let run = try await ProgramRun.run(
            ["python3", script, folder.path + "/profile", password] + addresses,
            environment: environment.merging(["HOME": folder.path]) { own, _ in own },
            in: folder.path
        )
        guard run.isSuccess else { throw RunningMartlet.StartFailure(output: run.error) }
        return try JSONDecoder().decode(Visit.self, from: Data(run.output.utf8))
    }

    private static let driver = #"""
        import fcntl, json, os, shutil, signal, subprocess, sys, tempfile

        profile, password, *addresses = sys.argv[1:]
        high = lambda descriptor: fcntl.fcntl(descriptor, fcntl.F_DUPFD, 40)
        (to_read, to_write), (from_read, from_write) = os.pipe(), os.pipe()
        given = (high(to_read), high(from_write))
        # A short path: the browser makes a socket below it.
        own = tempfile.mkdtemp(prefix="c")
        browser = subprocess.Popen(
            ["bash", "-c", 'exec "$@" 3<&%d 4>&%d' % given, "bash", "chromium", "--headless=new", "--no-sandbox",
             "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--user-data-dir=" + profile,
             "--remote-debugging-pipe", "about:blank"],
            pass_fds=given, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
            env={**os.environ, "TMPDIR": own})
        for descriptor in given + (to_read, from_write): os.close(descriptor)
        answers, output = os.fdopen(from_read, "rb"), os.fdopen(to_write, "wb")
        number, pending, challengers, loads = 0, b"", [], 0

        def send(method, params, session=None):
            global number
            number += 1
            message = {"id": number, "method": method, "params": params}
            if session: message["sessionId"] = session
            output.write(json.dumps(message).encode() + b"\0")
            output.flush()
            return number

        def receive():
            global pending, loads
            while b"\0" not in pending:
                more = answers.read1(65536)
                if not more: raise SystemExit("the browser has ended")
                pending += more
            message, pending = pending.split(b"\0", 1)
            message = json.loads(message)
            params, session = message.get("params", {}), message.get("sessionId")
            if message.get("method") == "Fetch.requestPaused":
                send("Fetch.continueRequest", {"requestId": params["requestId"]}, session)
            elif message.get("method") == "Fetch.authRequired":
                challengers.append(params["authChallenge"]["origin"])
                answer = {"response": "ProvideCredentials", "username": "admin", "password": password}
                send("Fetch.continueWithAuth", {"requestId": params["requestId"], "authChallengeResponse": answer}, session)
            elif message.get("method") == "Page.loadEventFired":
                loads += 1
            return message

        def call(method, params={}, session=None):
            wanted = send(method, params, session)
            while True:
                message = receive()
                if message.get("id") == wanted: return message.get("result", {})

        def evaluate(expression):
            params = {"expression": expression, "awaitPromise": True, "returnByValue": True, "userGesture": True}
            return call("Runtime.evaluate", params, window)["result"].get("value")

        try:
            target = call("Target.createTarget", {"url": "about:blank"})["targetId"]
            window = call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
            call("Page.enable", {}, window)
            call("Fetch.enable", {"handleAuthRequests": True}, window)
            titles, texts = [], []
            for address in addresses:
                before = loads
                call("Page.navigate", {"url": address}, window)
                while loads == before: receive()
                titles.append(evaluate("document.title"))
                styled = "[...document.styleSheets].some((s) => s.cssRules.length > 5) ? ' /* styled */' : ''"
                texts.append(evaluate("document.body.innerText + (%s)" % styled))
            harm = json.loads(evaluate("attack()"))
            print(json.dumps({"titles": titles, "texts": texts, "challengers": sorted(set(challengers)),
                              "harmTried": harm["tried"], "harmDone": harm["done"]}))
        finally:
            try: os.killpg(browser.pid, signal.SIGKILL)
            except ProcessLookupError: pass
            browser.wait()
            shutil.rmtree(own, ignore_errors=True)
        """#
}
