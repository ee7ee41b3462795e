// Who applies: each opens a database of the same shape and has `apply(changes)`, which resolves with the milliseconds from
// what arrived (text, or bytes) to committed rows. Decides what counts for each: preparing what would have arrived does not.

import initSqlite from "@vlcn.io/crsqlite-wasm";
import { init, SyncClient } from "crsqlite-sync";
import { createDbProvider } from "@vlcn.io/ws-browserdb";
import { decode, encode, tags } from "@vlcn.io/ws-common";
import { pages, read } from "./changes.js";
import { Log } from "./log.js";

let names = 0;
/** A fresh database: in memory, or on IndexedDB. */
async function opened({ schema }, { persistent }) {
  const sqlite = await initSqlite();
  const db = await sqlite.open(persistent ? `bench-${(names += 1)}-${Math.random()}` : undefined);
  for (const statement of schema) await db.exec(statement);
  return db;
}

async function timed(work) {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

const COLUMNS = `"table", pk, cid, val, col_version, db_version, site_id, cl, seq`;

/** Measures how long whoever asks for the database holds it: from when it is lent until it is given back. */
function holding(db) {
  const lend = db.imperativeTx.bind(db);
  let held = 0;
  db.imperativeTx = async () => {
    const [release, tx] = await lend();
    const began = performance.now();
    const giveBack = () => {
      held += performance.now() - began;
      release();
    };
    return [giveBack, tx];
  };
  return () => {
    const ms = held;
    held = 0;
    return ms;
  };
}

/** The package, through a transport that has the messages already. */
export async function ours(shape, options) {
  await init();
  const db = await opened(shape, options);
  const held = holding(db);
  const log = new Log();
  const client = new SyncClient({ db, transport: log.transport(), remoteId: "bench", multiTab: false });
  const errors = [];
  client.on("error", (error) => errors.push(error));
  await client.start();
  await client.waitForFirstSync();
  return {
    db,
    /** Milliseconds since this was last asked in which the client has held the database. */
    held,
    /** The log holds these from now on; the client does not know it. */
    give: (changes) => log.add(pages(changes)),
    async take() {
      const ms = await timed(() => client.syncNow());
      if (errors.length > 0) throw errors[0];
      return ms;
    },
    apply(changes) {
      this.give(changes);
      return this.take();
    },
    async close() {
      await client.stop();
      await db.close();
    },
  };
}

/** The limit: cr-sqlite merges rows that lie beside it in a temporary table, one statement for all. */
export async function floor(shape, options) {
  const db = await opened(shape, options);
  await db.exec("PRAGMA temp_store = MEMORY");
  await db.exec("CREATE TEMP TABLE given (a, b, c, d, e, f, g, h, i)");
  const rows = 50;
  const fill = (count) => `INSERT INTO given VALUES ${Array(count).fill("(?, ?, ?, ?, ?, ?, ?, ?, ?)").join(", ")}`;
  return {
    db,
    async apply(changes) {
      await db.exec("DELETE FROM given");
      await db.tx(async (tx) => {
        for (let at = 0; at < changes.length; at += rows) {
          const some = changes.slice(at, at + rows);
          await tx.exec(fill(some.length), some.flat());
        }
      });
      return timed(() => db.tx((tx) => tx.exec(`INSERT INTO crsql_changes (${COLUMNS}) SELECT * FROM given`)));
    },
    close: () => db.close(),
  };
}

/** What one would write: the messages parsed, and a prepared statement for each row, with plain binds. */
export async function perRow(shape, options) {
  const db = await opened(shape, options);
  const statement = await db.prepare(`INSERT INTO crsql_changes (${COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`);
  return {
    db,
    async apply(changes) {
      const messages = [...pages(changes)];
      return timed(() =>
        db.tx(async (tx) => {
          for (const { text } of messages) for (const change of read(text)) await statement.run(tx, ...change);
        }),
      );
    },
    close: () => db.close(),
  };
}

/** vlcn's own client: its messages in its own form, and its database. */
export async function vlcn(shape, options) {
  const db = await opened(shape, options);
  await db.exec("INSERT INTO crsql_master (key, value) VALUES ('schema_name', 'bench'), ('schema_version', 1)");
  const name = db.filename;
  await db.close();
  const provided = await createDbProvider()(name);
  const sqlite = await initSqlite();
  const again = await sqlite.open(name);
  let seen = 0n;
  return {
    db: again,
    async apply(changes) {
      const sender = changes[0][6];
      const messages = [];
      for (let at = 0; at < changes.length; at += 5000) {
        const some = changes.slice(at, at + 5000).map(([table, pk, cid, val, version, dbVersion, site, cl, seq]) => [table, pk, cid, val, BigInt(version), BigInt(dbVersion), site, BigInt(cl), seq]);
        messages.push(encode({ _tag: tags.Changes, sender, since: [seen, 0], changes: some }));
      }
      return timed(async () => {
        for (const message of messages) {
          const { changes, sender } = decode(message);
          seen = changes.at(-1)[5];
          await provided.applyChangesetAndSetLastSeen(changes, sender, [seen, 0]);
        }
      });
    },
    async close() {
      provided.close(true);
      await again.close();
    },
  };
}
