// The deploy check: is everything importable, and is it a function?
//
// Every listed entry is imported in its own try. A problem names the source file and, where the stack or the source map
// says it, the line. What the import does for good (an exit, an endless loop) ends this process, and the worker's
// deadline ends the wait.

import { existsSync } from "node:fs";
import path from "node:path";
import { HOOK, Project } from "./entries.mjs";
import { AttemptFailed, messageOf, relative, stackOf } from "./failure.mjs";
import { SOURCE_ENDS } from "./sources.mjs";

const CREATE = "auth-sessions/create";
const CHECK = "auth-sessions/check";
const MAX_CHECK_PARAMETERS = 2;

/** `{problems, warnings}`, each a list of `{file, line, message}`. */
export async function inspectProject(root, apis, authSessions) {
  const project = new Project(root);
  const problems = [];
  const warnings = [];
  const names = apis.map((name) => (name.startsWith("api/") ? name : `api/${name}`));
  if (authSessions) names.push(CREATE, CHECK);
  if (project.has(HOOK)) names.push(HOOK);
  for (const name of names) {
    const file = sourceOf(root, name);
    try {
      const entry = await project.entry(name);
      if (name === CHECK && entry.length > MAX_CHECK_PARAMETERS) {
        warnings.push({ file, line: null, message: "check is called as (page, context), without parameters" });
      }
    } catch (error) {
      problems.push(problemOf(error, root, file));
    }
  }
  return { problems, warnings };
}

function problemOf(error, root, file) {
  if (error instanceof AttemptFailed) return { file, line: null, message: error.message };
  const place = placeIn(error, root);
  const message = relative(messageOf(error), root).split("\n")[0];
  return { file: place?.file ?? file, line: place?.line ?? null, message: `${error?.name ?? "Error"}: ${message}` };
}

/** Where in the project's own code it happened, from the first line of the stack that tells. */
function placeIn(error, root) {
  for (const line of stackOf(error, undefined).split("\n")) {
    const [, file, number] = /(?:\(|at (?:async )?|^)(?:file:\/\/)?(\/[^():]+):(\d+)(?::\d+)?\)?$/.exec(line) ?? [];
    if (file === undefined) continue;
    const inside = path.relative(root, file);
    if (inside.startsWith("..") || inside.split("/").includes("node_modules")) continue;
    return { file: inside, line: Number(number) };
  }
  return undefined;
}

/** The source file of an entry, relative to the root. */
function sourceOf(root, name) {
  const end = SOURCE_ENDS.find((one) => existsSync(path.join(root, name + one)));
  return name + (end ?? SOURCE_ENDS[0]);
}
