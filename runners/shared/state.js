// What a page's origin has stored, as JSON, and back: the page script that both runners use.
//
// HOW TO CALL IT. The text of this file is one expression whose value is `{capture, restore}`. It defines no global, so
// nothing has to be cleaned up. Evaluate it through CDP (`Runtime.evaluate`, `awaitPromise`, `returnByValue`):
//
//     (<this file>\n).capture(stores)            stores: a subset of ["localStorage", "sessionStorage", "indexedDB"]
//         -> JSON text of {"origin": OriginState, "warnings": [str]}; in OriginState a store not asked for is []
//     (<this file>\n).restore(originState, stores)
//         -> JSON text of {"warnings": [str]}
//
// Both reject when the browser refuses (quota, storage denied). What cannot be cloned is left out with a warning.
//
// WHERE TO CALL IT. In a live document only in an isolated world (`Page.createIsolatedWorld`): the page cannot see it there
// and cannot have replaced what it calls. Everywhere else on a *stub*: `<origin>/` with every request of that page answered
// by the runner with an empty HTML document (CDP `Fetch.enable` + `Fetch.fulfillRequest`, `Network.setBypassServiceWorker`),
// so that no request leaves the machine and no script of the site runs.
//
// RESTORE, before any user code has seen the page:
//   1. Cookies by `Network.setCookies` on the page's CDP session.
//   2. The *first page itself* goes to the stub of each origin that has something, and `restore` writes all three stores
//      there. localStorage and IndexedDB belong to the context; sessionStorage belongs to the tab and is now in it. Nothing
//      has to remember "already restored", because nothing is written later: what the site deletes stays deleted.
//   3. Then `about:blank`, and `Page.resetNavigationHistory`: history.length and referrer are those of an untouched page.
//   4. If any origin has sessionStorage, later tabs need it too:
//      - a tab opened by the user's code: `context.newPage` is wrapped on that one context object; the new page visits the stubs
//        of the origins with sessionStorage (`restore(origin, ["sessionStorage"])`), then as 3, before it is returned;
//      - a tab opened by the page with an opener: the browser copies the opener's sessionStorage, nothing to do;
//      - a tab opened by the page without one (`noopener`, `target=_blank`): the context's init script `popup.js`.
//
// CAPTURE, after the user's function returned (the trace is stopped first, so that it does not contain this):
//   1. The main document of every open page: `capture` in an isolated world. localStorage and IndexedDB once per origin,
//      sessionStorage from the first tab, in order of opening, that has any for the origin.
//   2. Every other origin that was visited (any frame of any page; `framenavigated`, and the frames a page already has when it
//      appears). A live page is never navigated away: its unload handlers might sign the user out. Instead, per tab that has
//      such origins, `window.open("about:blank")` from the isolated world gives a page with a *copy* of the tab's
//      sessionStorage, and that page visits the stubs. Origins of tabs already closed: a fresh page (their sessionStorage
//      went with the tab, as in every browser).
//   3. Origins of the restored state that were not visited: as they were restored.
//   4. Cookies by `Network.getAllCookies`.
//
// ENCODING of IndexedDB keys and values, `Enc`:
//     {"v": x}                       x is null, a boolean, a finite number or a well-formed string
//     {"t": "undefined"|"nan"|"inf"|"-inf"|"-0"} | {"t": "bigint", "v": decimal} | {"t": "utf16", "v": base64}
//     {"t": "graph", "nodes": [Node]}  every object; node 0 is the value. Flat, so that depth, cycles and identity survive and
//                                    no JSON reader runs out of nesting. Inside a node a Leaf is a plain x as above, one of
//                                    the tagged primitives, or {"r": index of a node}.
//     Node: {"t":"object","v":[[Leaf,Leaf]]} {"t":"array","v":[Leaf]} {"t":"array","length":n,"v":[[Leaf,Leaf]],"sparse":true}
//           {"t":"map","v":[[Leaf,Leaf]]} {"t":"set","v":[Leaf]} {"t":"date","v":ms|null} {"t":"regexp","source":Leaf,"flags"}
//           {"t":"arraybuffer","v":base64} {"t":"typedarray","type","buffer":{"r"},"offset","length"} {"t":"boxed","v":Leaf}
//           {"t":"blob","type","v":base64,"name"?:Leaf,"modified"?:ms}
// A Web Storage item is {"name","value"}; with a lone surrogate in either, {"name","value","utf16":true}, both in base64 of
// UTF-16LE. Refused: more than MAX_CHARACTERS of JSON for one origin.
(() => {
  // The frame that carries the state holds 16 MiB; one origin must leave room for the others.
  const MAX_CHARACTERS = 15 * 1024 * 1024;
  const BATCH = 100;
  const CHUNK = 0x8000;

  class Unsupported extends Error {}

  const toBase64 = (bytes) => {
    let text = "";
    for (let at = 0; at < bytes.length; at += CHUNK) text += String.fromCharCode(...bytes.subarray(at, at + CHUNK));
    return btoa(text);
  };
  const fromBase64 = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

  const toUtf16 = (text) => {
    const bytes = new Uint8Array(text.length * 2);
    for (let at = 0; at < text.length; at += 1) {
      const unit = text.charCodeAt(at);
      bytes[2 * at] = unit & 0xff;
      bytes[2 * at + 1] = unit >> 8;
    }
    return toBase64(bytes);
  };
  const fromUtf16 = (text) => {
    const bytes = fromBase64(text);
    let units = "";
    for (let at = 0; at < bytes.length; at += 2) units += String.fromCharCode(bytes[at] | (bytes[at + 1] << 8));
    return units;
  };
  // `isWellFormed` is younger than some browsers that projects bring along.
  const isWellFormed = (text) => !/[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?:[^\uD800-\uDBFF]|^)[\uDC00-\uDFFF]/.test(text);

  // --- values ---------------------------------------------------------------------------------------------------

  /** Encodes synchronously, because an IndexedDB transaction ends while one waits; blobs are filled in afterwards. */
  class Encoder {
    constructor() {
      this.blobs = [];
      this.characters = 0;
    }

    encode(value) {
      const nodes = [];
      const objects = [];
      const indexes = new Map();
      const leaf = (part) => {
        const plain = this.primitive(part);
        if (plain !== undefined) return plain;
        if (!indexes.has(part)) {
          indexes.set(part, objects.length);
          objects.push(part);
        }
        return { r: indexes.get(part) };
      };
      const first = leaf(value);
      // Each node may find further objects; a list instead of recursion, so depth does not matter.
      for (let at = 0; at < objects.length; at += 1) nodes.push(this.node(objects[at], leaf));
      if (objects.length > 0) return { t: "graph", nodes };
      return first !== null && typeof first === "object" ? first : { v: first };
    }

    /** The leaf of what is not an object, else undefined. */
    primitive(value) {
      if (value === null || typeof value === "boolean") return value;
      if (value === undefined) return { t: "undefined" };
      if (typeof value === "string") return isWellFormed(value) ? value : { t: "utf16", v: toUtf16(value) };
      if (typeof value === "bigint") return { t: "bigint", v: String(value) };
      if (typeof value === "number") {
        if (Number.isNaN(value)) return { t: "nan" };
        if (value === Infinity) return { t: "inf" };
        if (value === -Infinity) return { t: "-inf" };
        return Object.is(value, -0) ? { t: "-0" } : value;
      }
      return undefined;
    }

    node(object, leaf) {
      const pairs = (keys) => keys.map((key) => [leaf(key), leaf(object[key])]);
      if (Array.isArray(object)) {
        const keys = Object.keys(object);
        const isDense = keys.length === object.length && (keys.length === 0 || keys.at(-1) === String(keys.length - 1));
        if (isDense) return { t: "array", v: object.map(leaf) };
        return { t: "array", sparse: true, length: object.length, v: pairs(keys) };
      }
      if (object instanceof Date) return { t: "date", v: Number.isNaN(object.getTime()) ? null : object.getTime() };
      if (object instanceof RegExp) return { t: "regexp", source: leaf(object.source), flags: object.flags };
      if (object instanceof Map) return { t: "map", v: [...object].map(([key, value]) => [leaf(key), leaf(value)]) };
      if (object instanceof Set) return { t: "set", v: [...object].map(leaf) };
      if (object instanceof ArrayBuffer) return { t: "arraybuffer", v: toBase64(new Uint8Array(object)) };
      if (ArrayBuffer.isView(object)) {
        const length = object instanceof DataView ? object.byteLength : object.length;
        const type = object[Symbol.toStringTag];
        return { t: "typedarray", type, buffer: leaf(object.buffer), offset: object.byteOffset, length };
      }
      if (object instanceof Blob) {
        const node = { t: "blob", type: object.type, v: "" };
        if (object instanceof File) Object.assign(node, { name: leaf(object.name), modified: object.lastModified });
        this.blobs.push([node, object]);
        this.characters += Math.ceil(object.size / 3) * 4;
        return node;
      }
      if (object instanceof Boolean || object instanceof Number || object instanceof String || object instanceof BigInt) {
        return { t: "boxed", v: leaf(object.valueOf()) };
      }
      if (Object.getPrototypeOf(object) === Object.prototype) return { t: "object", v: pairs(Object.keys(object)) };
      throw new Unsupported(Object.prototype.toString.call(object).slice(8, -1));
    }

    async fillBlobs() {
      for (const [node, blob] of this.blobs) node.v = toBase64(new Uint8Array(await blob.arrayBuffer()));
    }
  }

  function decode(encoded) {
    if (encoded.t === undefined) return encoded.v;
    if (encoded.t !== "graph") return decodePrimitive(encoded);
    const { nodes } = encoded;
    const objects = new Array(nodes.length);
    const leaf = (part) => {
      if (part === null || typeof part !== "object") return part;
      return part.r === undefined ? decodePrimitive(part) : objects[part.r];
    };
    // Shells first (views after the buffers below them), then contents, so that cycles close.
    nodes.forEach((node, at) => {
      if (node.t !== "typedarray") objects[at] = shell(node, leaf);
    });
    nodes.forEach((node, at) => {
      if (node.t === "typedarray") objects[at] = new globalThis[node.type](leaf(node.buffer), node.offset, node.length);
    });
    nodes.forEach((node, at) => fill(objects[at], node, leaf));
    return objects[0];
  }

  function decodePrimitive({ t, v }) {
    if (t === "undefined") return undefined;
    if (t === "nan") return NaN;
    if (t === "inf") return Infinity;
    if (t === "-inf") return -Infinity;
    if (t === "-0") return -0;
    if (t === "bigint") return BigInt(v);
    if (t === "utf16") return fromUtf16(v);
    throw new Unsupported(`the tag ${t}`);
  }

  function shell(node, leaf) {
    switch (node.t) {
      case "object": return {};
      case "array": return node.sparse ? new Array(node.length) : [];
      case "map": return new Map();
      case "set": return new Set();
      case "date": return new Date(node.v === null ? NaN : node.v);
      case "regexp": return new RegExp(leaf(node.source), node.flags);
      case "arraybuffer": return fromBase64(node.v).buffer;
      case "boxed": return Object(leaf(node.v));
      case "blob": {
        const bytes = fromBase64(node.v);
        if (node.name === undefined) return new Blob([bytes], { type: node.type });
        return new File([bytes], leaf(node.name), { type: node.type, lastModified: node.modified });
      }
      default: throw new Unsupported(`the tag ${node.t}`);
    }
  }

  function fill(object, node, leaf) {
    const define = ([key, value]) => {
      // Not an assignment: a key may be "__proto__".
      const descriptor = { value: leaf(value), writable: true, enumerable: true, configurable: true };
      Object.defineProperty(object, leaf(key), descriptor);
    };
    if (node.t === "object" || (node.t === "array" && node.sparse)) node.v.forEach(define);
    else if (node.t === "array") for (const part of node.v) object.push(leaf(part));
    else if (node.t === "map") for (const [key, value] of node.v) object.set(leaf(key), leaf(value));
    else if (node.t === "set") for (const part of node.v) object.add(leaf(part));
  }

  // --- Web Storage ----------------------------------------------------------------------------------------------

  function readStorage(storage) {
    return Array.from({ length: storage.length }, (_, at) => storage.key(at)).map((name) => {
      const value = storage.getItem(name);
      if (isWellFormed(name) && isWellFormed(value)) return { name, value };
      return { name: toUtf16(name), value: toUtf16(value), utf16: true };
    });
  }

  function writeStorage(storage, items) {
    for (const { name, value, utf16 } of items) {
      if (utf16) storage.setItem(fromUtf16(name), fromUtf16(value));
      else storage.setItem(name, value);
    }
  }

  // --- IndexedDB ------------------------------------------------------------------------------------------------

  const settled = (request) => new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  const finished = (transaction) => new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error ?? new Error("the transaction was aborted"));
  });

  async function readDatabases(warnings) {
    const databases = [];
    const encoder = new Encoder();
    for (const { name } of await indexedDB.databases()) {
      if (!isWellFormed(name)) {
        warnings.push("an IndexedDB database is left out: its name is not well-formed text");
        continue;
      }
      const opening = indexedDB.open(name);
      // It was deleted a moment ago: opening must not bring an empty one back.
      opening.onupgradeneeded = () => opening.transaction.abort();
      const database = await settled(opening).catch((error) => {
        if (error.name === "AbortError") return null;
        throw error;
      });
      if (database === null) continue;
      try {
        databases.push(await readDatabase(database, encoder, warnings));
      } finally {
        database.close();
      }
    }
    await encoder.fillBlobs();
    return databases;
  }

  async function readDatabase(database, encoder, warnings) {
    const names = [...database.objectStoreNames];
    const stores = [];
    if (names.length > 0) {
      // One transaction, so that all stores are of the same moment.
      const transaction = database.transaction(names, "readonly");
      const reads = names.map((name) => readStore(transaction.objectStore(name), encoder, warnings));
      stores.push(...await Promise.all(reads));
    }
    return { name: database.name, version: database.version, stores };
  }

  async function readStore(store, encoder, warnings) {
    const { name, keyPath, autoIncrement } = store;
    const indexes = [...store.indexNames].map((indexName) => {
      const index = store.index(indexName);
      return { name: indexName, keyPath: path(index.keyPath), unique: index.unique, multiEntry: index.multiEntry };
    });
    const records = [];
    const omitted = new Map();
    let range = null;
    for (;;) {
      const [keys, values] = await Promise.all([settled(store.getAllKeys(range, BATCH)), settled(store.getAll(range, BATCH))]);
      keys.forEach((key, at) => {
        try {
          const record = { value: encoder.encode(values[at]) };
          if (keyPath === null) record.key = encoder.encode(key);
          encoder.characters += JSON.stringify(record).length;
          records.push(record);
        } catch (error) {
          if (!(error instanceof Unsupported)) throw error;
          omitted.set(error.message, (omitted.get(error.message) ?? 0) + 1);
        }
      });
      refuseTooMuch(encoder.characters);
      if (keys.length < BATCH) break;
      range = IDBKeyRange.lowerBound(keys.at(-1), true);
    }
    for (const [what, count] of omitted) {
      warnings.push(`${count} IndexedDB record(s) of ${store.transaction.db.name}/${name} left out: ${what} cannot be kept`);
    }
    return { name, keyPath: path(keyPath), autoIncrement, indexes, records };
  }

  /** A key path as JSON: null, a string or a list of strings (not the browser's DOMStringList). */
  const path = (keyPath) => (keyPath === null || typeof keyPath === "string" ? keyPath : [...keyPath]);

  async function writeDatabase({ name, version, stores }, warnings) {
    const opening = indexedDB.open(name, version);
    opening.onupgradeneeded = () => {
      const database = opening.result;
      for (const old of [...database.objectStoreNames]) database.deleteObjectStore(old);
      for (const { name: storeName, keyPath, autoIncrement, indexes } of stores) {
        const store = database.createObjectStore(storeName, { keyPath, autoIncrement });
        for (const { name: indexName, keyPath: indexPath, unique, multiEntry } of indexes) {
          store.createIndex(indexName, indexPath, { unique, multiEntry });
        }
      }
    };
    const database = await settled(opening);
    try {
      const filled = stores.filter((store) => store.records.length > 0);
      if (filled.length === 0) return;
      const transaction = database.transaction(filled.map((store) => store.name), "readwrite", { durability: "relaxed" });
      const done = finished(transaction);
      for (const { name: storeName, records } of filled) {
        const store = transaction.objectStore(storeName);
        for (const record of records) putRecord(store, record, warnings);
      }
      await done;
    } finally {
      database.close();
    }
  }

  function putRecord(store, { key, value }, warnings) {
    const warn = (reason) => warnings.push(`an IndexedDB record of ${store.name} was not restored: ${reason}`);
    try {
      const request = key === undefined ? store.put(decode(value)) : store.put(decode(value), decode(key));
      request.onerror = (event) => {
        // One record less, not a whole database less.
        event.preventDefault();
        warn(request.error.message);
      };
    } catch (error) {
      warn(error.message);
    }
  }

  function refuseTooMuch(characters) {
    if (characters > MAX_CHARACTERS) throw new Error(`${origin} has stored more than ${MAX_CHARACTERS} characters of state`);
  }

  // --- the two functions ----------------------------------------------------------------------------------------

  async function capture(stores) {
    const warnings = [];
    const state = { origin: globalThis.origin, localStorage: [], sessionStorage: [], indexedDB: [] };
    if (stores.includes("localStorage")) state.localStorage = readStorage(localStorage);
    if (stores.includes("sessionStorage")) state.sessionStorage = readStorage(sessionStorage);
    if (stores.includes("indexedDB")) state.indexedDB = await readDatabases(warnings);
    const text = JSON.stringify({ origin: state, warnings });
    refuseTooMuch(text.length);
    return text;
  }

  async function restore(state, stores) {
    const warnings = [];
    if (stores.includes("localStorage")) writeStorage(localStorage, state.localStorage ?? []);
    if (stores.includes("sessionStorage")) writeStorage(sessionStorage, state.sessionStorage ?? []);
    if (stores.includes("indexedDB")) {
      for (const database of state.indexedDB ?? []) await writeDatabase(database, warnings);
    }
    return JSON.stringify({ warnings });
  }

  return { capture, restore };
})()
