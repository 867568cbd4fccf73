// What fill_stores.js wrote, as JSON that two browsers can be compared by.
async () => {
  const settled = (request) => new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  const units = (text) => Array.from(text, (_, at) => text.charCodeAt(at));
  const database = await settled(indexedDB.open("everything"));
  const reading = database.transaction([...database.objectStoreNames]);
  const values = reading.objectStore("values");
  const one = await settled(values.get("everything"));
  const rest = {
    byDate: await settled(values.get(new Date(3))),
    byList: await settled(values.get([1, "a", [-Infinity]])),
    byBytes: await settled(values.get(new Uint8Array([9]))),
    byPair: await settled(values.index("pair").getKey([1, 2])),
    byTag: await settled(values.index("tags").getKey("u")),
    twice: await settled(reading.objectStore("twice").get([1, "z"])),
    counted: (await settled(reading.objectStore("counted").getAll())).map((record) => record.id.number).join(),
    schema: [...database.objectStoreNames].map((name) => {
      const store = reading.objectStore(name);
      const indexes = [...store.indexNames].map((index) => store.index(index)).map((index) => {
        return [index.name, [index.keyPath].flat().map(String), index.unique, index.multiEntry];
      });
      return [name, store.keyPath === null ? null : [store.keyPath].flat().map(String), store.autoIncrement, indexes];
    }),
  };
  let depth = 0;
  for (let level = one.cycle.deep; level.next; level = level.next) depth += 1;
  const [[key, set]] = one.map;
  const result = {
    ...rest, version: database.version, depth, databases: (await indexedDB.databases()).map(({ name }) => name).sort(),
    cyclic: one.cycle.self === one.cycle, shared: one.view.buffer === one.buffer && one.data.buffer === one.buffer,
    buffer: [...new Uint8Array(one.buffer)], view: [...one.view], data: one.data.byteOffset, floats: [...one.floats],
    sparse: [1 in one.sparse, one.sparse.length, one.sparse.extra], proto: Object.entries(one.proto),
    missing: "missing" in one && one.missing === undefined,
    numbers: [one.nan, one.inf, one.less, one.zero].map((number) => (Object.is(number, -0) ? "-0" : String(number))),
    big: String(one.big), dates: [one.date.getTime(), String(one.invalid.getTime())], pattern: String(one.pattern),
    map: [key, [...set]], surrogate: units(one.surrogate), blob: [one.blob.type, await one.blob.text()],
    file: [one.file instanceof File, one.file.name, one.file.lastModified, await one.file.text()],
    boxed: [typeof one.boxed, String(one.boxed), typeof one.truth, one.truth.valueOf()], empty: one.empty, list: one.list,
    local: Object.entries(localStorage).map(([name, value]) => [name, units(value)]).sort(),
    session: Object.entries(sessionStorage),
  };
  database.close();
  return result;
}
