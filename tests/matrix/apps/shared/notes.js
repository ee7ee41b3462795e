// What every app here is about: one device with notes, in a window or in a worker. The app brings the two packages, because
// how they are loaded is what differs; what is done with them is written once, here.

/** `name`: of the database on IndexedDB. `relay`: address of the socket. Calls `onChange` when there may be other rows. */
export async function openNotes(sqlite, { SyncClient, WsTransport }, { name, relay }, onChange) {
  const db = await sqlite.open(name);
  await db.exec("CREATE TABLE IF NOT EXISTS notes (id TEXT PRIMARY KEY NOT NULL, body TEXT)");
  await db.exec("SELECT crsql_as_crr('main', 'notes')");

  const transport = new WsTransport({ url: relay, protocol: "relay", reconnectIntervalMs: 100 });
  const client = new SyncClient({ db, transport, remoteId: "relay" });
  client.on("status", onChange);
  client.on("applied", onChange);
  // In words: not every engine's driver can tell what an object on the console was.
  client.on("error", ({ code, message }) => console.error(`${code}: ${message}`));
  await client.start();

  return {
    db,
    client,
    close: () => client.stop(),
    add: async (body) => {
      await db.exec("INSERT INTO notes (id, body) VALUES (?, ?)", [crypto.randomUUID(), body]);
      onChange();
    },
    edit: async (body, next) => {
      await db.exec("UPDATE notes SET body = ? WHERE body = ?", [next, body]);
      onChange();
    },
    remove: async (body) => {
      await db.exec("DELETE FROM notes WHERE body = ?", [body]);
      onChange();
    },
    rows: async () => (await db.execA("SELECT body FROM notes ORDER BY body")).map(([body]) => body),
    status: async () => ({ state: client.status.state, pendingChanges: client.status.pendingChanges }),
    /** The replicated state, without what differs between equal replicas: whose, and when. */
    changes: async () => {
      const rows = await db.execA("SELECT [table], hex(pk), cid, quote(val), col_version, cl FROM crsql_changes");
      return rows.map((row) => row.join(" ")).sort();
    },
  };
}
