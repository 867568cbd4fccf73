// The little of HTTP that the site needs: bodies, cookies, answers.

const MAX_BODY_BYTES = 1 << 20;

export async function readBody(request) {
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) throw new Error("body too large");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

export async function readJson(request) {
  const body = await readBody(request);
  return body.length === 0 ? {} : JSON.parse(body.toString("utf8"));
}

export function cookies(request) {
  const pairs = (request.headers.cookie ?? "").split(/;\s*/).filter(Boolean).map((pair) => {
    const split = pair.indexOf("=");
    return [pair.slice(0, split), pair.slice(split + 1)];
  });
  return Object.fromEntries(pairs);
}

export function sendHtml(response, status, html, headers = {}) {
  const latin1 = /<meta charset="iso-8859-1">/.test(html);
  response.writeHead(status, {
    "content-type": `text/html; charset=${latin1 ? "iso-8859-1" : "utf-8"}`,
    "cache-control": "no-store",
    ...headers,
  });
  response.end(Buffer.from(html, latin1 ? "latin1" : "utf8"));
}

export function sendJson(response, status, value, headers = {}) {
  response.writeHead(status, { "content-type": "application/json", "cache-control": "no-store", ...headers });
  response.end(JSON.stringify(value));
}

export function sendFile(response, name, type, bytes) {
  response.writeHead(200, {
    "content-type": type,
    "content-disposition": `attachment; filename="${name}"`,
    "content-length": Buffer.byteLength(bytes),
    "cache-control": "no-store",
  });
  response.end(bytes);
}

export function redirect(response, location, headers = {}) {
  response.writeHead(303, { location, "cache-control": "no-store", ...headers });
  response.end();
}
