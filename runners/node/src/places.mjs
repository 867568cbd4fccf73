// `__dirname`, `__filename` and `import.meta.url` keep meaning the source file, not the bundle.
//
// Code that reads a file beside itself would otherwise look into the build folder. Only modules that use one of them
// are touched: the names are defined at their beginning, on the first line, so that no line number moves. The project's
// root is found from the bundle's own place, so a deployment works wherever it is mounted.

import { readFileSync } from "node:fs";
import path from "node:path";

const USES = /__dirname|__filename|import\.meta\.(url|dirname|filename)/;
const SCRIPTS = /\.[mc]?[jt]sx?$/;
const LOADERS = { ".tsx": "tsx", ".jsx": "jsx", ".ts": "ts", ".mts": "ts", ".cts": "ts" };
const BUILD = "/.keywright/build/";

/** What the bundle begins with. */
export function placesBanner(format) {
  const own = format === "esm" ? 'decodeURIComponent(new URL(import.meta.url).pathname)' : "__filename";
  return `const __kwOwn = ${own}; const __kwRoot = __kwOwn.slice(0, __kwOwn.lastIndexOf(${JSON.stringify(BUILD)}));`;
}

/** The esbuild plugin. */
export function ownPlaces(root) {
  return {
    name: "own-places",
    setup(build) {
      Object.assign((build.initialOptions.define ??= {}), {
        __dirname: "__kwDirname",
        __filename: "__kwFilename",
        "import.meta.url": "__kwUrl",
        "import.meta.dirname": "__kwDirname",
        "import.meta.filename": "__kwFilename",
      });
      build.onLoad({ filter: SCRIPTS }, ({ path: file }) => {
        const text = readFileSync(file, "utf8");
        if (!USES.test(text)) return undefined;
        const inside = `/${path.relative(root, file).split(path.sep).join("/")}`;
        const places = [
          `const __kwFilename = __kwRoot + ${JSON.stringify(inside)};`,
          `const __kwDirname = __kwRoot + ${JSON.stringify(path.posix.dirname(inside).replace(/\/$/, ""))};`,
          'const __kwUrl = "file://" + __kwFilename.split("/").map(encodeURIComponent).join("/");',
        ].join(" ");
        return { contents: `${places} ${text.replace(/^\uFEFF/, "").replace(/^#!.*/, "")}`, loader: LOADERS[path.extname(file)] ?? "js", resolveDir: path.dirname(file) };
      });
    },
  };
}
