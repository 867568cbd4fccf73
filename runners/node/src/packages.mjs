// Which imports of a project stay outside its bundle: everything that is a package.
//
// What tsconfig `paths`, package.json `imports` or a relative path lead to a file of the project is bundled. An import
// statement of a package that is not installed is a problem with its file and line, found now instead of at the first
// run; `require` and `import()` may be optional and are left to the run.

import { existsSync } from "node:fs";
import { isBuiltin } from "node:module";
import path from "node:path";

/** Import names that the runner answers itself (resolution.mjs); they are never looked for in node_modules. */
const SERVED = /^(@intuned\/(runtime|browser)(\/.*)?|playwright(-core)?)$/;
const BARE = /^[^./]/;
const ASKED = Symbol("asked");

/** The esbuild plugin. */
export function packagesOutside(root) {
  return {
    name: "packages-outside",
    setup(build) {
      build.onResolve({ filter: BARE }, async ({ path: name, kind, importer, namespace, resolveDir, pluginData, with: attributes }) => {
        if (pluginData === ASKED || kind === "entry-point") return undefined;
        if (SERVED.test(name) || isBuiltin(name)) return { path: name, external: true };
        // A whole answer of esbuild's: it knows tsconfig paths and package.json imports.
        const found = await build.resolve(name, { kind, importer, namespace, resolveDir, pluginData: ASKED, with: attributes });
        const isOfProject = found.errors.length === 0 && !found.external && !isInstalled(found.path);
        if (isOfProject) return { path: found.path, namespace: found.namespace, sideEffects: found.sideEffects };
        if (kind === "import-statement" && !name.startsWith("#") && !hasPackage(resolveDir, packageOf(name), root)) {
          return { errors: [{ text: `Could not resolve "${name}": the package ${packageOf(name)} is not installed` }] };
        }
        return name.startsWith("#") && found.errors.length > 0 ? { errors: found.errors } : { path: name, external: true };
      });
    },
  };
}

function isInstalled(file) {
  return file.split(path.sep).includes("node_modules");
}

/** The package that an import name is of: `@scope/name` or `name`. */
function packageOf(name) {
  return name.split("/", name.startsWith("@") ? 2 : 1).join("/");
}

/** Whether a node_modules between `folder` and the project's root, or above it, has the package. */
function hasPackage(folder, name, root) {
  for (let here = folder || root; ; here = path.dirname(here)) {
    if (existsSync(path.join(here, "node_modules", name))) return true;
    if (here === path.dirname(here)) return false;
  }
}
