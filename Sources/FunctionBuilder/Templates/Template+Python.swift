// SPDX-License-Identifier: Apache-2.0

extension Template {
    /// Python 3 with nothing but its standard library: a long-lived server, one thread per connection.
    static let python3 = Template(
        name: "python3",
        summary: "Python 3, standard library only; handle(event, context) in handler.py",
        fprocess: "python3 index.py",
        mode: "http",
        requires: "python3",
        packages: Packages(
            manifest: "requirements.txt",
            command: ["python3", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
                + ["--no-compile", "--target", "packages", "--requirement", "requirements.txt"],
            hint: "Install pip (on Debian and Ubuntu: apt install python3-pip), then build again."
        ),
        files: [
            File("index.py", pythonServer),
            File(
                "function/handler.py",
                """
                def handle(event, context):
                    \"\"\"Answers one request. event has body, headers, method, path and query.\"\"\"
                    return {"statusCode": 200, "body": "Hello from Martlet!\\n"}

                """
            ),
        ]
    )

    private static let pythonServer = """
        import json
        import os
        import signal
        import sys
        import threading
        import traceback
        from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
        from urllib.parse import parse_qs, urlsplit

        code = os.path.join(os.path.dirname(os.path.abspath(__file__)), "function")
        sys.path[:0] = [code, os.path.join(code, "packages")]
        import handler  # the function's own code


        class Event:
            def __init__(self, request, body):
                parts = urlsplit(request.path)
                self.body = body
                self.headers = request.headers
                self.method = request.command
                self.path = parts.path
                self.query = {name: values[-1] for name, values in parse_qs(parts.query).items()}


        class Context:
            def __init__(self):
                self.hostname = os.uname().nodename
                self.function = os.environ.get("OPENFAAS_NAME", "")


        class Server(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Many small writes of one answer must not wait for one another.
            wbufsize = -1
            disable_nagle_algorithm = True

            def answer(self):
                try:
                    result = handler.handle(Event(self, self.read_body()), Context())
                except Exception:
                    traceback.print_exc()
                    result = {"statusCode": 500, "body": "The function raised an exception; its log says which.\\n"}
                self.send(result)

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer

            def read_body(self):
                if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
                    pieces = []
                    while size := int(self.rfile.readline().split(b";")[0], 16):
                        pieces.append(self.rfile.read(size))
                        self.rfile.readline()
                    while self.rfile.readline().strip():
                        pass
                    return b"".join(pieces)
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))

            def send(self, result):
                if not isinstance(result, dict):
                    result = {"body": result}
                body = result.get("body", "")
                headers = dict(result.get("headers") or {})
                self.send_response(int(result.get("statusCode", 200)))
                if isinstance(body, (dict, list)):
                    headers.setdefault("Content-Type", "application/json")
                    body = json.dumps(body)
                if isinstance(body, str):
                    headers.setdefault("Content-Type", "text/plain; charset=utf-8")
                    body = body.encode()
                if body is None:
                    body = b""
                if isinstance(body, (bytes, bytearray)):
                    self.send_whole(headers, bytes(body))
                else:
                    self.send_pieces(headers, body)

            def send_whole(self, headers, body):
                headers["Content-Length"] = str(len(body))
                self.finish_head(headers)
                if self.command != "HEAD":
                    self.wfile.write(body)
                self.wfile.flush()

            def send_pieces(self, headers, pieces):
                headers["Transfer-Encoding"] = "chunked"
                self.finish_head(headers)
                for piece in pieces:
                    piece = piece.encode() if isinstance(piece, str) else piece
                    if piece:
                        self.wfile.write(b"%x\\r\\n%s\\r\\n" % (len(piece), piece))
                        self.wfile.flush()
                self.wfile.write(b"0\\r\\n\\r\\n")
                self.wfile.flush()

            def finish_head(self, headers):
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_):
                pass  # the platform counts and logs calls


        def main():
            server = ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Server)
            server.daemon_threads = True
            # Threads may not wait for serve_forever on the thread that runs it.
            signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
            server.serve_forever(poll_interval=0.1)


        main()

        """
}
