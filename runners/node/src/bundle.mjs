// `node bundle.mjs <root>`: the entries of a project, bundled once when it is deployed.
//
// Each entry under api/, auth-sessions/create and check, hooks/setupContext becomes
// `<root>/.keywright/build/<entry>.cjs`, or `.mjs` when the project (or the file's own extension) says that it is an ES
// module. Installed packages stay outside and are found in the project's node_modules at run time, from the bundle's
// place upwards. Every entry carries its own copy of the helper modules it imports: two entries of one attempt (the hook
// and the function) do not share a helper's variables; attemptStore is what they share.
//
// Prints one line of JSON, `{"entries": [name], "problems": [{file, line, message}]}`, and exits 0 also when there are
// problems; no bundle is written then. If the process dies here, the deployment has no manifest and is never used.

import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { build } from "esbuild";
import { packagesOutside } from "./packages.mjs";
import { ownPlaces, placesBanner } from "./places.mjs";
import { entriesOf } from "./sources.mjs";

const BUILD_FOLDER = ".keywright/build";
const TARGET = "node20";
const STRICT = '"use strict";';

/** Bundle the project at `root`: `{entries, problems}`. */
export async function bundleProject(root) {
  const found = entriesOf(root);
  const problems = twins(found);
  if (problems.length > 0) return { entries: [], problems };
  const buildFolder = path.join(root, BUILD_FOLDER);
  rmSync(buildFolder, { recursive: true, force: true });
  mkdirSync(buildFolder, { recursive: true });

  const isModule = saysModule(root);
  const formats = new Map([["cjs", []], ["esm", []]]);
  for (const entry of found) formats.get(formatOf(entry.file, isModule)).push(entry);
  for (const [format, entries] of formats) {
    if (entries.length > 0) problems.push(...(await bundle(root, format, entries)));
  }
  if (problems.length > 0) {
    rmSync(buildFolder, { recursive: true, force: true });
    return { entries: [], problems: unique(problems) };
  }
  return { entries: found.map(({ name }) => name), problems: [] };
}

async function bundle(root, format, entries) {
  try {
    // No keepNames: its helper would be missing where a function is sent into a page.
    const { outputFiles } = await build({
      write: false,
      absWorkingDir: root,
      // The name decides the output's path: `api/foo` becomes `api/foo.cjs`.
      entryPoints: entries.map(({ name, file }) => ({ in: path.join(root, file), out: name })),
      outdir: path.join(root, BUILD_FOLDER),
      outExtension: { ".js": format === "esm" ? ".mjs" : ".cjs" },
      bundle: true,
      platform: "node",
      target: TARGET,
      format,
      sourcemap: "linked",
      sourcesContent: false,
      logLevel: "silent",
      banner: { js: placesBanner(format) },
      plugins: [packagesOutside(root), ownPlaces(root)],
    });
    for (const { path: file, text } of outputFiles) {
      mkdirSync(path.dirname(file), { recursive: true });
      writeFileSync(file, strictFirst(text));
    }
    return [];
  } catch (error) {
    if (!Array.isArray(error.errors)) throw error;
    return error.errors.map(({ text, location }) => ({
      file: location?.file ? path.relative(root, path.resolve(root, location.file)) : entries[0].file,
      line: location?.line ?? null,
      message: text,
    }));
  }
}

/** A directive counts only at the very beginning, which the banner took; its line keeps its number. */
function strictFirst(text) {
  const second = text.indexOf("\n") + 1;
  return text.startsWith(STRICT, second) ? STRICT + text : text;
}

/** Two files for one name: nobody could say which of them runs. */
function twins(entries) {
  const first = new Map();
  return entries.flatMap(({ name, file }) => {
    if (!first.has(name)) first.set(name, file);
    return first.get(name) === file ? [] : [{ file, line: null, message: `${first.get(name)} has the same name` }];
  });
}

function formatOf(file, isModule) {
  const end = path.extname(file);
  if (end === ".mts" || end === ".mjs") return "esm";
  if (end === ".cts" || end === ".cjs") return "cjs";
  return isModule ? "esm" : "cjs";
}

function saysModule(root) {
  let text;
  try {
    text = readFileSync(path.join(root, "package.json"), "utf8");
  } catch (error) {
    if (error.code === "ENOENT") return false;
    throw error;
  }
  try {
    return JSON.parse(text)?.type === "module";
  } catch {
    return false; // the deploy check says what is wrong with it, with its line
  }
}

/** A module shared by several entries breaks once, not once for each. */
function unique(problems) {
  return [...new Map(problems.map((problem) => [JSON.stringify(problem), problem])).values()];
}

if (process.argv[1] && path.resolve(process.argv[1]) === import.meta.filename) {
  if (process.argv.length !== 3) {
    process.stderr.write("usage: node bundle.mjs <root>\n");
    process.exit(2);
  }
  process.stdout.write(`${JSON.stringify(await bundleProject(path.resolve(process.argv[2])))}\n`);
}
