// Reading what is to be sent, through SyncClient: a new log gets everything that a database holds. Beside it nine columns read
// with execA, and JSON and base64 made of them in JavaScript.

import initSqlite from "@vlcn.io/crsqlite-wasm";
import { init, SyncClient } from "crsqlite-sync";
import { alternate } from "../rounds.mjs";
import { shape } from "./changes.js";
import { Log } from "./log.js";

/** `versions` transactions of `rows` rows each. */
export async function measure({ versions, rows, rounds }) {
  await init();
  const sqlite = await initSqlite();
  const db = await sqlite.open();
  const { schema, columns } = shape();
  for (const statement of schema) await db.exec(statement);
  for (let version = 0; version < versions; version += 1) {
    const values = Array.from({ length: rows }, (_, row) => [version * rows + row + 1, ...columns.map(({ value }) => value(version * rows + row))]);
    const places = values.map((some) => `(${some.map(() => "?").join(", ")})`).join(", ");
    await db.exec(`INSERT INTO t VALUES ${places}`, values.flat());
  }
  const changes = versions * rows * columns.length;
  const times = await alternate({ ours: (round) => ours(db, `bench ${round}`, changes), plain: () => plain(db, changes) }, rounds);
  await db.close();
  return { times, changes };
}

/** From the answer that lets the client upload to the last message that it sends. */
async function ours(db, remoteId, changes) {
  const log = new Log();
  let [began, ended] = [0, 0];
  const frames = [];
  log.onAnswer = () => (began ||= performance.now());
  log.onUpload = (frame) => {
    frames.push(frame);
    ended = performance.now();
  };
  const client = new SyncClient({ db, transport: log.transport(), remoteId, multiTab: false });
  await client.start();
  await client.waitForSynced();
  await client.stop();
  const sent = frames.reduce((sum, frame) => sum + JSON.parse(frame).payload.changes.length, 0);
  if (sent !== changes) throw new Error(`${sent} of ${changes} changes were sent`);
  return ended - began;
}

const base64 = (bytes) => (typeof bytes.toBase64 === "function" ? bytes.toBase64() : btoa(String.fromCharCode(...bytes)));

async function plain(db, changes) {
  const began = performance.now();
  const site = base64(Uint8Array.from(db.siteid.match(/../g), (hex) => parseInt(hex, 16)));
  const rows = await db.execA(`SELECT "table", pk, cid, val, col_version, db_version, site_id, cl, seq FROM crsql_changes WHERE db_version > 0`);
  let sent = 0;
  for (let at = 0; at < rows.length; at += 5000) {
    const some = rows.slice(at, at + 5000).map(([table, pk, cid, val, col_version, db_version, site_id, cl, seq]) => ({
      table,
      pk: base64(pk),
      cid,
      val: val instanceof Uint8Array ? { $blob: base64(val) } : val,
      col_version,
      db_version,
      site_id: site_id ? base64(site_id) : site,
      cl,
      seq,
    }));
    sent += some.length;
    if (JSON.stringify({ type: "sync_push", payload: { changes: some } }).length === 0) throw new Error("nothing was written");
  }
  if (sent !== changes) throw new Error(`${sent} of ${changes} changes were read`);
  return performance.now() - began;
}
