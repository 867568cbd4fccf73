// Opens a trace in Playwright's own viewer and prints the titles of its actions, one JSON array on a line.
// Arguments: the folder of playwright-core, the browser, the trace.

import { createReadStream, existsSync, statSync } from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import path from "node:path";

const [playwrightFolder, executablePath, trace] = process.argv.slice(2);
const { chromium } = createRequire(import.meta.url)(playwrightFolder);
const viewer = path.join(playwrightFolder, "lib/vite/traceViewer");
const TYPES = { ".html": "text/html", ".js": "text/javascript; charset=utf-8", ".css": "text/css", ".svg": "image/svg+xml", ".zip": "application/zip" };

const server = http.createServer((request, response) => {
  const { pathname } = new URL(request.url, "http://localhost");
  const file = pathname === "/trace.zip" ? trace : path.join(viewer, path.posix.normalize(pathname));
  if (!existsSync(file) || !statSync(file).isFile()) return response.writeHead(404).end();
  response.setHeader("content-type", TYPES[path.extname(file)] ?? "application/octet-stream");
  return createReadStream(file).pipe(response);
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const url = `http://localhost:${server.address().port}`;

const browser = await chromium.launch({ executablePath });
try {
  const page = await browser.newPage();
  page.on("pageerror", (error) => { throw error; });
  await page.goto(`${url}/index.html?trace=${encodeURIComponent(`${url}/trace.zip`)}`);
  const titles = page.locator(".action-title");
  await titles.first().waitFor();
  console.log(JSON.stringify(await titles.allTextContents()));
} finally {
  await browser.close();
  server.close();
  server.closeAllConnections();
}
