// A tiny HTTP forward proxy: absolute-form requests and CONNECT tunnels, with optional basic auth. It marks what it
// forwards with `Via`, so that the site can tell, and counts connections, forwarded requests and refusals.

import http from "node:http";
import net from "node:net";

/** `credentials` is "user:password" or undefined. */
export function createProxy(credentials) {
  const expected = credentials && `Basic ${Buffer.from(credentials).toString("base64")}`;
  const counts = { connections: 0, requests: 0, tunnels: 0, refused: 0 };
  const admitted = (request) => !expected || request.headers["proxy-authorization"] === expected;

  const server = http.createServer((request, response) => {
    if (!admitted(request)) {
      counts.refused += 1;
      response.writeHead(407, { "proxy-authenticate": 'Basic realm="proxy"', "content-length": 0 });
      return response.end();
    }
    if (!/^http:\/\//.test(request.url)) {
      response.writeHead(400, { "content-length": 0 });
      return response.end();
    }
    counts.requests += 1;
    return forward(request, response);
  });
  server.on("connection", () => (counts.connections += 1));
  server.on("connect", (request, socket, head) => {
    socket.on("error", () => socket.destroy());
    if (!admitted(request)) {
      counts.refused += 1;
      return socket.end('HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic realm="proxy"\r\n\r\n');
    }
    counts.tunnels += 1;
    return tunnel(request, socket, head);
  });
  server.report = () => ({ ...counts });
  server.reset = () => Object.keys(counts).forEach((key) => (counts[key] = 0));
  return server;
}

function forward(request, response) {
  const headers = { ...request.headers, via: "1.1 site-proxy" };
  delete headers["proxy-authorization"];
  delete headers["proxy-connection"];
  const onward = http.request(new URL(request.url), { method: request.method, headers }, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
  });
  onward.on("error", () => {
    if (response.headersSent) return response.destroy();
    response.writeHead(502, { "content-length": 0 });
    return response.end();
  });
  response.on("close", () => onward.destroy());
  request.pipe(onward);
}

function tunnel(request, socket, head) {
  const [host, port] = request.url.split(":");
  const onward = net.connect(Number(port), host, () => {
    socket.write("HTTP/1.1 200 Connection Established\r\n\r\n");
    onward.write(head);
    onward.pipe(socket).pipe(onward);
  });
  onward.on("error", () => socket.destroy());
  socket.on("close", () => onward.destroy());
}
