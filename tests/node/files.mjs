// The bytes of a database on (fake) IndexedDB: what a crash leaves behind, a backup or a copied profile.
const STORE = "blocks";

/** The bytes as the last commit that reached the disk has left them. */
export const bytes = (name) => blocks((store) => ours(name, store.getAll()));

/** Puts earlier bytes in the place of those that are there; the database is closed meanwhile. */
export const restore = (name, earlier) =>
  blocks((store) => {
    store.openCursor().onsuccess = ({ target: { result: cursor } }) => {
      if (!cursor) return earlier.forEach((block) => store.put(block));
      if (cursor.value.path === `/${name}`) cursor.delete();
      cursor.continue();
    };
  });

/** The bytes after each commit of `work`: what is left when the page goes away right then. */
export async function commits(name, work) {
  const [known, moments] = [new Map(), []];
  const { put } = IDBObjectStore.prototype;
  IDBObjectStore.prototype.put = function (block, ...rest) {
    if (block.path === `/${name}`) {
      known.set(`${block.offset} ${block.version}`, structuredClone(block));
      // With the first block, which says which version counts, a commit becomes true.
      if (block.offset === 0) moments.push([...known.values()]);
    }
    return put.call(this, block, ...rest);
  };
  try {
    await work();
    // A commit returns before it is on its way to the disk.
    await bytes(name);
  } finally {
    IDBObjectStore.prototype.put = put;
  }
  return moments;
}

function ours(name, all) {
  const found = [];
  all.onsuccess = () => found.push(...all.result.filter(({ path }) => path === `/${name}`));
  return found;
}

async function blocks(work) {
  const db = await done(indexedDB.open("idb-batch-atomic"), "onsuccess");
  const transaction = db.transaction([STORE], "readwrite");
  const result = work(transaction.objectStore(STORE));
  await done(transaction, "oncomplete");
  db.close();
  return result;
}

async function done(request, event) {
  await new Promise((resolve, reject) => Object.assign(request, { [event]: resolve, onerror: () => reject(request.error) }));
  return request.result;
}
