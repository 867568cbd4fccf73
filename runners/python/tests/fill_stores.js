// Fills the stores of an origin with one of everything that can be stored. Its counterpart is read_stores.js.
async () => {
  localStorage.setItem("a", "1");
  localStorage.setItem("surrogate", "\ud800x");
  sessionStorage.setItem("s", "2");
  const settled = (request) => new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  const cycle = { deep: {} };
  cycle.self = cycle;
  let level = cycle.deep;
  for (let depth = 0; depth < 300; depth += 1) level = level.next = {};
  const buffer = new Uint8Array([1, 2, 3, 250]).buffer;
  const sparse = [1, , 3];
  sparse.extra = "x";
  const everything = {
    cycle, buffer, view: new Uint8Array(buffer, 1, 2), data: new DataView(buffer, 2), floats: new Float64Array([0.5]), sparse,
    proto: JSON.parse('{"__proto__": 1, "": null}'), missing: undefined, nan: NaN, inf: Infinity, less: -Infinity, zero: -0,
    big: -12345678901234567890n, date: new Date(5), invalid: new Date(NaN), pattern: /a\/b\n/giu, surrogate: "\udc00",
    map: new Map([[{ key: 1 }, new Set([1, "2", null])]]), blob: new Blob(["hey"], { type: "text/x" }),
    file: new File(["f"], "näme.txt", { lastModified: 7 }), boxed: Object("text"), truth: Object(false),
    empty: [], list: [1, ["two"]],
  };
  const key = await crypto.subtle.generateKey({ name: "AES-GCM", length: 128 }, false, ["encrypt"]);
  const opening = indexedDB.open("everything", 7);
  opening.onupgradeneeded = () => {
    const store = opening.result.createObjectStore("values");
    store.createIndex("pair", ["a", "b"], { unique: true });
    store.createIndex("tags", "tags", { multiEntry: true });
    opening.result.createObjectStore("counted", { autoIncrement: true, keyPath: "id.number" });
    opening.result.createObjectStore("twice", { keyPath: ["x", "y"] });
    opening.result.createObjectStore("empty");
  };
  const database = await settled(opening);
  const writing = database.transaction(["values", "counted", "twice"], "readwrite");
  const done = new Promise((resolve, reject) => {
    writing.oncomplete = resolve;
    writing.onabort = () => reject(writing.error);
  });
  const values = writing.objectStore("values");
  values.put(everything, "everything");
  values.put("by date", new Date(3));
  values.put("by list", [1, "a", [-Infinity]]);
  values.put("by bytes", new Uint8Array([9]));
  values.put({ tags: ["t", "u"], a: 1, b: 2 }, 0.5);
  values.put({ key }, "cannot be kept");
  for (let number = 0; number < 250; number += 1) writing.objectStore("counted").add({ number });
  writing.objectStore("twice").put({ x: 1, y: "z" });
  await done;
  database.close();
  const other = await settled(indexedDB.open("no stores"));
  other.close();
}
