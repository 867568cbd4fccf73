// The project's setup hook: called before the function, may bring its own browser context.
//
// It returns nothing, a context, [context, page?, cleanup?] or {context, page?, cleanup?}. Anything else is the user's
// error. What it brought is closed when the attempt ends.

/** Call the hook: what it wants to be used instead of the launched context and page, `{context?, page?, cleanup?}`. */
export async function runHook(hook, cdpUrl, apiName, apiParameters) {
  const returned = await hook({ cdpUrl, apiName, apiParameters });
  if (returned === undefined || returned === null) return {};
  if (isContext(returned)) return { context: returned };
  const { context, page, cleanup } = Array.isArray(returned)
    ? { context: returned[0], page: returned[1], cleanup: returned[2] }
    : returned;
  const rest = Array.isArray(returned) ? returned.length > 3 : false;
  if (rest || !(context == null || isContext(context)) || !(page == null || isPage(page)) || !(cleanup == null || typeof cleanup === "function")) {
    throw new TypeError("setupContext must return nothing, a context, [context, page?, cleanup?] or {context, page?, cleanup?}");
  }
  return { context: context ?? undefined, page: page ?? undefined, cleanup: cleanup ?? undefined };
}

// By shape, because a hook may use another copy of Playwright than the runner.
function isContext(value) {
  return typeof value?.newPage === "function" && typeof value.addCookies === "function";
}

function isPage(value) {
  return typeof value?.goto === "function" && typeof value.context === "function";
}
