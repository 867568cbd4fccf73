// `node main.mjs <socket>`: connect to the worker and serve it.
//
// Playwright is imported here, at process start, while the watchdog connects. Stacks of user code are mapped to its
// TypeScript sources from the first module on.

import { redirect } from "./console.mjs";
import { watchTimers } from "./leftovers.mjs";
import { Lifeline } from "./lifeline.mjs";
import { Link } from "./link.mjs";

if (process.argv.length !== 3) {
  process.stderr.write("usage: node main.mjs <socket>\n");
  process.exit(2);
}
process.setSourceMapsEnabled(true);
watchTimers();
const lifeline = new Lifeline(process.argv[2]);
const connected = lifeline.connected();
const { Runner } = await import("./runner.mjs");
const link = new Link(await connected, lifeline);
redirect();
new Runner(link, lifeline).serve();
