// The project's setup hook: called before the function, may bring its own browser context.
//
// It returns nothing, a context, [context, page?, cleanup?] or {context, page?, cleanup?}. Anything else is the user's
// error. What it brought is closed when the attempt ends.

/** Call the hook: what it wants to be used instead of the launched context and page, `{context?, page?, cleanup?}`. */
export async function runHook(hook, cdpUrl, apiName, apiParameters) {
  const returned = await hook({ cdpUrl, apiName, apiParameters });
  if (returned === undefined || returned === null) return {};
  if (isContext(returned)) return { context: returned };
  const { context, page, cleanup, ...rest } = Array.isArray(returned) ? named(returned) : Object(returned);
  const isWhole =
    typeof returned === "object" &&
    Object.keys(rest).length === 0 &&
    (context == null || isContext(context)) &&
    (page == null || isPage(page)) &&
    (cleanup == null || typeof cleanup === "function");
  if (!isWhole) {
    throw new TypeError("setupContext must return nothing, a context, [context, page?, cleanup?] or {context, page?, cleanup?}");
  }
  return { context: context ?? undefined, page: page ?? undefined, cleanup: cleanup ?? undefined };
}

function named([context, page, cleanup, ...more]) {
  return { context, page, cleanup, ...more };
}

// By shape, because a hook may use another copy of Playwright than the runner.
function isContext(value) {
  return typeof value?.newPage === "function" && typeof value.addCookies === "function";
}

function isPage(value) {
  return typeof value?.goto === "function" && typeof value.context === "function";
}
