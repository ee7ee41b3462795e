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
