// SPDX-License-Identifier: Apache-2.0

extension Template {
    /// A shell script per call: the body on standard input, the answer on standard output.
    static let bash = Template(
        name: "bash",
        summary: "A bash script per call; the body comes on standard input",
        fprocess: "bash function/handler.sh",
        mode: "streaming",
        requires: "bash",
        files: [
            File(
                "function/handler.sh",
                """
                # The request's body is standard input; Http_Method, Http_Path and Http_Query tell of the request.
                body=$(cat)
                echo "Hello from $OPENFAAS_NAME, you said: $body"

                """,
                isExecutable: true
            )
        ]
    )

    /// Node.js with nothing but its standard library: a long-lived server.
    static let node = Template(
        name: "node",
        summary: "Node.js, standard library only; module.exports = async (event, context) => …",
        fprocess: "node index.js",
        mode: "http",
        requires: "node",
        packages: Packages(
            manifest: "package.json",
            command: ["npm", "install", "--omit=dev", "--no-audit", "--no-fund", "--loglevel=error"],
            hint: "Install npm (on Debian and Ubuntu: apt install npm), then build again."
        ),
        files: [
            File(
                "index.js",
                """
                'use strict';
                const http = require('http');
                const handler = require('./function/handler');

                async function read(request) {
                  const pieces = [];
                  for await (const piece of request) pieces.push(piece);
                  return Buffer.concat(pieces);
                }

                const isBytes = (body) => Buffer.isBuffer(body) || body instanceof Uint8Array;

                function send(response, result) {
                  const isPlain = result === null || typeof result !== 'object' || isBytes(result);
                  const { statusCode = 200, headers, body } = isPlain ? { body: result } : result;
                  // Everything that can be wrong is found before the first byte is sent.
                  const text = typeof body === 'object' && body !== null ? JSON.stringify(body) : String(body ?? '');
                  const bytes = isBytes(body) ? body : Buffer.from(text);
                  response.writeHead(statusCode, headers ?? {});
                  response.end(bytes);
                }

                // Taken apart by hand: to URL "//x/y" is a host, and "//" an error.
                function target(url) {
                  const mark = url.indexOf('?');
                  const [path, query] = mark < 0 ? [url, ''] : [url.slice(0, mark), url.slice(mark + 1)];
                  return { path, query: Object.fromEntries(new URLSearchParams(query)) };
                }

                async function answer(request, response) {
                  try {
                    const { headers, method } = request;
                    const event = { body: await read(request), headers, method, ...target(request.url) };
                    send(response, await handler(event, { function: process.env.OPENFAAS_NAME }));
                  } catch (error) {
                    console.error(error);
                    if (response.headersSent) return response.destroy();
                    send(response, { statusCode: 500, body: 'The function raised an error; its log says which.\\n' });
                  }
                }

                // A head may be as long as the platform lets it be, and an upload may take as long as its call.
                const server = http.createServer({ maxHeaderSize: 16777216, requestTimeout: 0 }, answer);

                server.keepAliveTimeout = 60000;
                process.on('SIGTERM', () => { server.close(() => process.exit(0)); server.closeIdleConnections(); });
                server.listen(Number(process.env.PORT), '127.0.0.1');

                """
            ),
            File(
                "function/handler.js",
                """
                'use strict';

                // Answers one request. event has body, headers, method, path and query.
                module.exports = async (event, context) => ({ statusCode: 200, body: 'Hello from Martlet!\\n' });

                """
            ),
        ]
    )
}
