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

                function send(response, result) {
                  const isPlain = result === null || typeof result !== 'object' || Buffer.isBuffer(result);
                  const { statusCode = 200, headers = {}, body = '' } = isPlain ? { body: result ?? '' } : result;
                  const bytes = typeof body === 'object' && !Buffer.isBuffer(body) ? JSON.stringify(body) : body;
                  response.writeHead(statusCode, headers);
                  response.end(bytes);
                }

                const server = http.createServer(async (request, response) => {
                  const url = new URL(request.url, 'http://localhost');
                  try {
                    const event = {
                      body: await read(request), headers: request.headers, method: request.method,
                      path: url.pathname, query: Object.fromEntries(url.searchParams),
                    };
                    send(response, await handler(event, { function: process.env.OPENFAAS_NAME }));
                  } catch (error) {
                    console.error(error);
                    send(response, { statusCode: 500, body: 'The function raised an error; its log says which.\\n' });
                  }
                });

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
