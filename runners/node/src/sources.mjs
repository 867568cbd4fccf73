// Which files of a project are entries.

import { readdirSync } from "node:fs";
import path from "node:path";

/** What an entry's file name may end with. */
export const SOURCE_ENDS = [".ts", ".tsx", ".mts", ".cts", ".js", ".mjs", ".cjs"];
export const FIXED_ENTRIES = ["auth-sessions/create", "auth-sessions/check", "hooks/setupContext"];
const DECLARATION = /\.d\.[mc]?ts$/;
const MAX_DEPTH = 32;

/** Every entry of the project, `{name, file}` relative to the root, sorted by file. */
export function entriesOf(root) {
  const files = filesBelow(root, "api", MAX_DEPTH);
  for (const folder of new Set(FIXED_ENTRIES.map((name) => path.posix.dirname(name)))) {
    files.push(...filesBelow(root, folder, 1).filter((file) => FIXED_ENTRIES.includes(nameOf(file))));
  }
  return files.sort().map((file) => ({ name: nameOf(file), file }));
}

function filesBelow(root, folder, depth) {
  let found;
  try {
    found = readdirSync(path.join(root, folder), { withFileTypes: true });
  } catch (error) {
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return [];
    throw error;
  }
  return found.flatMap((entry) => {
    const file = path.posix.join(folder, entry.name);
    if (entry.isDirectory()) return depth > 1 ? filesBelow(root, file, depth - 1) : [];
    return entry.isFile() && SOURCE_ENDS.includes(path.extname(file)) && !DECLARATION.test(file) ? [file] : [];
  });
}

function nameOf(file) {
  return file.slice(0, -path.extname(file).length);
}
