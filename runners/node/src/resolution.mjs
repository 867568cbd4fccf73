// Import names that the runner answers itself, for CommonJS and ES modules alike.
//
// @intuned/runtime and @intuned/browser (with /ai) lead to shims/, through the `exports` of each shim's package.json;
// playwright and playwright-core lead to the instance that drives the browser. Every other name is Node's business.
// ES modules need a loader hook. Where Node can run it in this thread (22.15 and later) it is always there; on older
// versions it costs a thread, so `serveEsModules` is called when the first bundle that may import one is loaded.

import { readFileSync } from "node:fs";
import module, { register } from "node:module";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { playwrightFile } from "./playwright.mjs";

const SHIMS = { "@intuned/runtime": "intuned-runtime", "@intuned/browser": "intuned-browser" };
const SHIMS_FOLDER = fileURLToPath(new URL("../shims/", import.meta.url));
const LOADER = new URL("./loader.mjs", import.meta.url);

/** Name to file, for `require` and for `import`. */
export function ownNames() {
  const files = { require: {}, import: {} };
  for (const name of ["playwright", "playwright-core"]) {
    files.require[name] = playwrightFile;
    files.import[name] = playwrightFile.replace(/\.js$/, ".mjs");
  }
  for (const [name, folder] of Object.entries(SHIMS)) {
    const { exports } = JSON.parse(readFileSync(path.join(SHIMS_FOLDER, folder, "package.json"), "utf8"));
    for (const [subpath, conditions] of Object.entries(exports)) {
      for (const kind of ["require", "import"]) {
        files[kind][name + subpath.slice(1)] = path.join(SHIMS_FOLDER, folder, conditions[kind]);
      }
    }
  }
  return files;
}

let served = false;
let loaderServed = false;

/** Answer our names to every `require` of this process, and to every `import` where that is free. */
export function serveOwnNames() {
  if (served) return;
  served = true;
  const files = ownNames().require;
  const resolveFilename = module._resolveFilename;
  module._resolveFilename = function (request, ...rest) {
    return Object.hasOwn(files, request) ? files[request] : resolveFilename.call(this, request, ...rest);
  };
  if (typeof module.registerHooks === "function") serveEsModules();
}

/** Answer our names to every `import`. */
export function serveEsModules() {
  if (loaderServed) return;
  loaderServed = true;
  const files = ownNames().import;
  const urls = Object.fromEntries(Object.entries(files).map(([name, file]) => [name, pathToFileURL(file).href]));
  if (typeof module.registerHooks === "function") {
    module.registerHooks({
      resolve(name, context, next) {
        if (!Object.hasOwn(urls, name) || context.conditions.includes("require")) return next(name, context);
        return { url: urls[name], shortCircuit: true };
      },
    });
  } else {
    register(LOADER, { data: urls });
  }
}
