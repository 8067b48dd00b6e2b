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
        import http.client
        import json
        import os
        import signal
        import sys
        import threading
        import traceback
        from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
        from urllib.parse import parse_qs

        http.client._MAXHEADERS = 10000  # the platform has limits of its own

        code = os.path.join(os.path.dirname(os.path.abspath(__file__)), "function")
        sys.path[:0] = [code, os.path.join(code, "packages")]
        import handler  # the function's own code


        class Event:
            def __init__(self, request, body):
                # Taken apart by hand: to urlsplit "//x/y" is a host, "//[" an error, and http.server makes it "/x/y".
                path, _, query = request.requestline.split()[1].partition("?")
                self.body = body
                self.headers = request.headers
                self.method = request.command
                self.path = path
                self.query = {name: values[-1] for name, values in parse_qs(query).items()}


        class Context:
            def __init__(self):
                self.hostname = os.uname().nodename
                self.function = os.environ.get("OPENFAAS_NAME", "")


        class Answer:
            \"\"\"What a handler gave back, understood whole before any of it is sent.\"\"\"

            def __init__(self, result):
                if not isinstance(result, dict):
                    result = {"body": result}
                self.status = int(result.get("statusCode", 200))
                if not 200 <= self.status <= 999:
                    raise ValueError(f"{self.status} is not a status of an answer")
                self.body, content_type = self.understand(result.get("body", ""))
                headers = result.get("headers") or {}
                fields = [self.field(*field) for field in (headers.items() if isinstance(headers, dict) else headers)]
                # How long the body is, is for the server to say.
                framing = ("content-length", "transfer-encoding", "connection")
                self.headers = [field for field in fields if field[0].lower() not in framing]
                if content_type and not self.has("Content-Type"):
                    self.headers.append(("Content-Type", content_type))

            def has(self, wanted):
                return any(name.lower() == wanted.lower() for name, _ in self.headers)

            def understand(self, body):
                if isinstance(body, (dict, list)):
                    return json.dumps(body).encode(), "application/json"
                if isinstance(body, (int, float)):
                    body = str(body)
                if isinstance(body, str):
                    return body.encode(), "text/plain; charset=utf-8"
                if body is None:
                    return b"", None
                return (bytes(body) if isinstance(body, (bytearray, memoryview)) else body), None

            def field(self, name, value):
                name, value = str(name), str(value)
                if not name or any(c in name or c in value for c in "\\r\\n\\0") or any(c in name for c in " :"):
                    raise ValueError(f"{name!r}: {value!r} is not a header field")
                # http.server writes Latin-1; what is not in it goes as the bytes of UTF-8.
                return name.encode().decode("latin-1"), value.encode().decode("latin-1")

            @property
            def framing(self):
                is_whole = isinstance(self.body, bytes)
                return ("Content-Length", str(len(self.body))) if is_whole else ("Transfer-Encoding", "chunked")

            def write(self, file):
                if isinstance(self.body, bytes):
                    return file.write(self.body)
                for piece in self.body:
                    piece = piece.encode() if isinstance(piece, str) else piece
                    if piece:
                        file.write(b"%x\\r\\n%s\\r\\n" % (len(piece), piece))
                        file.flush()
                file.write(b"0\\r\\n\\r\\n")


        class Server(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Many small writes of one answer must not wait for one another.
            wbufsize = -1
            disable_nagle_algorithm = True

            def answer(self):
                try:
                    answer = Answer(handler.handle(Event(self, self.read_body()), Context()))
                except Exception:
                    traceback.print_exc()
                    answer = Answer({"statusCode": 500, "body": "The function raised an exception; its log says which.\\n"})
                self.send(answer)

            def __getattr__(self, name):
                if name.startswith("do_"):
                    return self.answer  # whatever the method is
                raise AttributeError(name)

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

            def send(self, answer):
                has_body = self.command != "HEAD" and answer.status not in (204, 304)
                self.send_response_only(answer.status)
                for name, value in answer.headers:
                    self.send_header(name, value)
                if not answer.has("Date"):
                    self.send_header("Date", self.date_time_string())
                if answer.status != 204:
                    self.send_header(*answer.framing)
                self.end_headers()
                if has_body:
                    answer.write(self.wfile)
                self.wfile.flush()

            def log_message(self, *_):
                pass  # the platform counts and logs calls


        class Listener(ThreadingHTTPServer):
            # The library lets five connections wait to be taken; the system drops what comes beyond that.
            request_queue_size = 1024
            daemon_threads = True


        def main():
            server = Listener(("127.0.0.1", int(os.environ["PORT"])), Server)
            # Threads may not wait for serve_forever on the thread that runs it.
            signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
            server.serve_forever(poll_interval=0.1)


        main()

        """
}
