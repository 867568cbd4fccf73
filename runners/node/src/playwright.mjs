// The one Playwright of this process: the project's own when the worker names its folder, else the pinned one.
//
// User code that imports `playwright` or `playwright-core` gets this same instance (entries.mjs), so that its errors and
// classes are those of the page it was given. A project's Playwright that cannot be loaded ends the process before
// `hello`; there is no falling back to another version than the project asked for.

import { createRequire } from "node:module";
import path from "node:path";

const root = process.env.KEYWRIGHT_PLAYWRIGHT_ROOT;
const require = createRequire(root ? path.join(root, "package.json") : import.meta.url);

/** The file that `playwright` and `playwright-core` mean in this process. */
export const playwrightFile = resolveFirst(root ? ["playwright", "playwright-core"] : ["playwright-core"]);
export const playwright = require(playwrightFile);
export const playwrightVersion = createRequire(playwrightFile)("playwright-core/package.json").version;

function resolveFirst(names) {
  for (const name of names) {
    try {
      return require.resolve(name);
    } catch (error) {
      if (error.code !== "MODULE_NOT_FOUND") throw error;
    }
  }
  throw new Error(`there is no ${names.join(" or ")} in ${root ?? "the runner"}`);
}
