// sessionStorage for a tab that a page opened without an opener: the one kind of tab no runner gets hold of before its
// first script runs. The browser gives such a tab an empty sessionStorage; the platform's promise is that every page of
// a restored login has all four stores.
//
// The text of this file is one expression, a function. The init script of the context is
//     (<this file>\n)(<JSON of {origin: [{"name","value","utf16"?}]}>)
// and is added only when some origin has sessionStorage. It defines no global.
//
// It writes only in a tab's first document (runners' own pages begin at about:blank and so have a longer history), only without
// an opener (with one the browser has copied, deletions included) and only into an empty store. The one case it cannot tell
// apart: such a tab whose first document empties its sessionStorage and replaces itself is filled once more.
(origins) => {
  if (history.length !== 1 || top.opener !== null || !Object.hasOwn(origins, self.origin)) return;
  const decode = (text) => atob(text).replace(/([^])([^])/g, (_, low, high) => {
    return String.fromCharCode(low.charCodeAt(0) | (high.charCodeAt(0) << 8));
  });
  try {
    if (sessionStorage.length > 0) return;
    for (const { name, value, utf16 } of origins[self.origin]) {
      sessionStorage.setItem(utf16 ? decode(name) : name, utf16 ? decode(value) : value);
    }
  } catch {
    // A sandboxed frame may not store anything; then it has nothing to restore either.
  }
}
