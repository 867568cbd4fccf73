// The pages that the cases of pages.json open, and the S3 endpoint that uploads go to, on a free port of 127.0.0.1.
//
// Started by the tests of both languages as a process of its own: the first line on stdout is the address. It ends when
// its standard input is closed, so that it never outlives the tests. Everything is kept in memory.

import { createServer } from "node:http";
import { createRequire } from "node:module";

const { signHeaders } = createRequire(import.meta.url)("../node/shims/intuned-browser/sigv4.cjs");

const ACCESS_KEY_ID = "AKIDEXAMPLE";
const SECRET_ACCESS_KEY = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const REGION = "eu-central-1";
const ANSWER_MS = 1200;
const MAX_BODY_BYTES = 1024 * 1024;
const PIXEL = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABh6FO1AAAAABJRU5ErkJggg==",
  "base64",
);

const visitors = new Set();
const objects = new Map();

const isFirst = (visitor) => !visitors.has(visitor) && Boolean(visitors.add(visitor));

const page = (body) => `<!doctype html><meta charset="utf-8"><title>page</title><body>${body}</body>`;

const pages = {
  "/plain": page("<h1>Plain</h1>"),
  "/dir/sub/links": page('<a id="a" href="other?x=1">other</a><a href="/report.csv">report</a><p id="p">no link</p>'),
  "/late": page(`<p id="state">waiting</p><script>
    fetch("/slow").then((answer) => answer.text()).then((text) => { document.getElementById("state").textContent = text; });
  </script>`),
  "/busy": page('<script>const hang = () => fetch("/never").catch(hang); hang();</script>'),
  "/restless": page("<p></p><script>setInterval(() => document.querySelector('p').append('x'), 50);</script>"),
  "/restless-frame": page('<p>still</p><iframe width="200" height="100" src="/restless"></iframe>'),
  "/tracked": page('<p>still</p><iframe width="1" height="1" src="/restless"></iframe>'),
  "/framed": page('<h1>Outer</h1><iframe width="200" height="100" src="/plain"></iframe><p>after</p>'),
  "/grows": page(`<div id="list" style="height: 2000px"></div><script>
    let left = 3;
    addEventListener("scroll", async () => {
      if (left === 0) return;
      left -= 1;
      await fetch("/plain");
      const list = document.getElementById("list");
      list.style.height = parseInt(list.style.height, 10) + 1000 + "px";
      list.append(document.createElement("i"));
    });
  </script>`),
  "/grows-inside": page(`<div id="box" style="height: 100px; overflow: auto"><div id="list" style="height: 500px"></div></div>
  <script>
    let left = 2;
    document.getElementById("box").addEventListener("scroll", () => {
      if (left === 0) return;
      left -= 1;
      const list = document.getElementById("list");
      list.style.height = parseInt(list.style.height, 10) + 300 + "px";
      list.append(document.createElement("i"));
    });
  </script>`),
  "/more": page(`<ul id="list"></ul><button id="more">more</button><script>
    let left = 3;
    const button = document.getElementById("more");
    button.onclick = async () => {
      left -= 1;
      await fetch("/plain");
      document.getElementById("list").append(document.createElement("li"));
      if (left === 0) button.remove();
    };
  </script>`),
  "/endless": page(`<ul id="list"></ul><button id="more">more</button><script>
    let clicks = 0;
    document.getElementById("more").onclick = () => {
      clicks += 1;
      document.body.dataset.clicks = clicks;
      if (clicks <= 2) document.getElementById("list").append(document.createElement("li"));
    };
  </script>`),
  "/prints": page('<h1>Receipt</h1><button onclick="window.print()">print</button>'),
};

const files = {
  "/report.csv": ["text/csv", 'attachment; filename="report (1).csv"', "a,b\n1,2\n"],
  "/pixel.png": ["image/png", null, PIXEL],
};

async function answer(request, reply) {
  const url = new URL(request.url, "http://site");
  if (request.method === "PUT") return storeObject(request, reply, url);
  if (url.pathname in pages) return reply.writeHead(200, { "content-type": "text/html" }).end(pages[url.pathname]);
  if (url.pathname in files) {
    const [type, disposition, body] = files[url.pathname];
    return reply.writeHead(200, { "content-type": type, ...(disposition && { "content-disposition": disposition }) }).end(body);
  }
  const html = { "content-type": "text/html" };
  switch (url.pathname) {
    case "/slow":
      return setTimeout(() => reply.writeHead(200).end("arrived"), ANSWER_MS);
    case "/never":
      return undefined;
    case "/flaky":
      // The first connection breaks, the next one gets the page.
      return isFirst(url.search) ? request.socket.destroy() : reply.writeHead(200, html).end(pages["/plain"]);
    case "/objects":
      return reply.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(Object.fromEntries(objects)));
    default:
      return reply.writeHead(404, html).end(page("<h1>Page not found</h1>"));
  }
}

/** Take an object if the request is signed; the signature is made again from what arrived. */
async function storeObject(request, reply, url) {
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) return reply.writeHead(413).end();
    chunks.push(chunk);
  }
  const { authorization = "" } = request.headers;
  const names = /SignedHeaders=([^,]*)/.exec(authorization)?.[1].split(";") ?? [];
  const expected = signHeaders({
    method: "PUT",
    url: `http://${request.headers.host}${request.url}`,
    headers: Object.fromEntries(names.map((name) => [name, request.headers[name] ?? ""])),
    payloadSha256: request.headers["x-amz-content-sha256"] ?? "",
    region: REGION,
    credentials: { accessKeyId: ACCESS_KEY_ID, secretAccessKey: SECRET_ACCESS_KEY },
    now: dateOf(request.headers["x-amz-date"]),
  });
  if (expected.authorization !== authorization) return reply.writeHead(403).end("<Code>SignatureDoesNotMatch</Code>");
  objects.set(decodeURIComponent(url.pathname), {
    contentType: request.headers["content-type"] ?? null,
    text: Buffer.concat(chunks).toString("utf8"),
  });
  return reply.writeHead(200).end();
}

function dateOf(stamp = "19700101T000000Z") {
  return new Date(stamp.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, "$1-$2-$3T$4:$5:$6Z"));
}

const server = createServer((request, reply) => {
  answer(request, reply).catch((error) => reply.writeHead(500).end(String(error)));
});
server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
process.stdin.resume().on("end", () => process.exit(0));
