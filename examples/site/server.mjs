// node server.mjs [--port N] [--proxy-port N [--proxy-auth user:password]]
//
// Prints one line of JSON on stdout once everything listens, {"url", "proxyUrl"?}; anything it has to say goes to
// stderr. Listens on loopback only. TERM or INT ends it at once with 0, open requests included.

import { once } from "node:events";
import { parseArgs } from "node:util";
import { createProxy } from "./lib/proxy.mjs";
import { createSite } from "./lib/site.mjs";
import { SiteState } from "./lib/state.mjs";

const { values } = parseArgs({
  options: {
    port: { type: "string", default: "4173" },
    "proxy-port": { type: "string" },
    "proxy-auth": { type: "string" },
  },
});

const proxy = values["proxy-port"] === undefined ? undefined : createProxy(values["proxy-auth"]);
const site = createSite(new SiteState(), proxy);

for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => process.exit(0));

const line = { url: await listen(site, values.port) };
if (proxy) line.proxyUrl = await listen(proxy, values["proxy-port"]);
console.log(JSON.stringify(line));

async function listen(server, port) {
  server.listen(Number(port), "127.0.0.1");
  await once(server, "listening");
  return `http://127.0.0.1:${server.address().port}`;
}
