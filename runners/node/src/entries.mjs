// From a function's name to the callable of the project.
//
// `api/foo` is the bundle `<root>/.keywright/build/api/foo.cjs` or `.mjs`, made when the project was deployed; its
// default export counts. Refused with `not-found`: a name that leaves the project, a missing bundle, no usable default
// export. Modules stay loaded for the next attempt of the same slot.
// The names @intuned/runtime and @intuned/browser mean our shims, playwright and playwright-core mean the runner's own
// instance, whoever imports them and whatever the project has installed (resolution.mjs).

import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { types } from "node:util";
import { AttemptFailed } from "./failure.mjs";
import { Code } from "./protocol.mjs";
import { serveEsModules, serveOwnNames } from "./resolution.mjs";

const BUILD_FOLDER = ".keywright/build";
const SEGMENT = /^[^/\\\0]+$/;
export const HOOK = "hooks/setupContext";

export class Project {
  #require;

  constructor(root) {
    this.root = root;
    this.#require = createRequire(path.join(root, "package.json"));
    serveOwnNames();
  }

  /** The callable behind a function's name. Runs the module's code if it is not loaded yet. */
  async entry(name) {
    const file = this.#bundle(name);
    if (file === undefined) throw new AttemptFailed(Code.NOT_FOUND, `there is no ${name} in the project`);
    return usableFunction(await this.#load(file), name);
  }

  /** The setup hook, if the project has one. */
  async hook() {
    return this.#bundle(HOOK) === undefined ? undefined : this.entry(HOOK);
  }

  /** Whether the project has a bundle of this name. */
  has(name) {
    return this.#bundle(name) !== undefined;
  }

  #bundle(name) {
    const segments = name.split("/");
    if (segments.length < 2 || !segments.every((one) => SEGMENT.test(one) && one !== "." && one !== "..")) {
      throw new AttemptFailed(Code.NOT_FOUND, `${JSON.stringify(name)} is not the name of a function`);
    }
    return [".cjs", ".mjs"].map((end) => path.join(this.root, BUILD_FOLDER, name + end)).find((file) => existsSync(file));
  }

  #load(file) {
    // A CommonJS bundle may still import ES modules, dynamically.
    if (file.endsWith(".mjs") || readFileSync(file, "utf8").includes("import(")) serveEsModules();
    return file.endsWith(".mjs") ? import(pathToFileURL(file).href) : this.#require(file);
  }
}

/** The default export of a loaded module, however its module system wraps it. Throws AttemptFailed. */
export function usableFunction(module, name) {
  let found = module;
  // An ES module's namespace, a transpiled one inside it, or `module.exports = function`.
  for (let layer = 0; layer < 2 && typeof found !== "function"; layer += 1) found = found?.default;
  if (typeof found !== "function") {
    const problem = module?.default === undefined ? "has no default export" : "has a default export that is not a function";
    throw new AttemptFailed(Code.NOT_FOUND, `${name} ${problem}`);
  }
  if (types.isGeneratorFunction(found)) {
    throw new AttemptFailed(Code.NOT_FOUND, `${name} is a generator; a function that returns a promise is needed`);
  }
  return found;
}
