// Cookies between the browser's protocol and the stored state, nothing lost on the way.
//
// `expires` -1 is a session cookie. A partitioned cookie keeps its key as the browser gives it; the key of another
// source may be the top-level site alone. sameSite is absent where the site did not say. A cookie the browser refuses is
// left out with a warning; one in an opaque partition cannot be set again, so it is not kept.

const KEPT = ["name", "value", "domain", "path", "expires", "httpOnly", "secure", "sameSite", "partitionKey"];

/** The context's cookies in the state's form. */
export async function readCookies(session) {
  const { cookies } = await session.send("Network.getAllCookies");
  return cookies.filter((cookie) => !cookie.partitionKeyOpaque).map((cookie) => {
    const kept = Object.fromEntries(KEPT.filter((key) => cookie[key] !== undefined).map((key) => [key, cookie[key]]));
    return cookie.session ? { ...kept, expires: -1 } : kept;
  });
}

/** Put cookies of a state into the context; the warnings. */
export async function writeCookies(session, cookies) {
  if (cookies.length === 0) return [];
  const wanted = cookies.map(toBrowser);
  try {
    await session.send("Network.setCookies", { cookies: wanted });
    return [];
  } catch {
    // One bad cookie fails the whole call: find out which.
  }
  const warnings = [];
  for (const cookie of wanted) {
    try {
      await session.send("Network.setCookies", { cookies: [cookie] });
    } catch {
      warnings.push(`the browser refused the cookie ${cookie.name} of ${cookie.domain}`);
    }
  }
  return warnings;
}

function toBrowser({ expires, partitionKey, ...cookie }) {
  return {
    ...cookie,
    ...(expires === undefined || expires < 0 ? {} : { expires }),
    ...(partitionKey === undefined || partitionKey === null ? {} : { partitionKey: whole(partitionKey) }),
  };
}

function whole(partitionKey) {
  return typeof partitionKey === "string" ? { topLevelSite: partitionKey, hasCrossSiteAncestor: false } : partitionKey;
}
