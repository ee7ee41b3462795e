// The traps of cr-sqlite 0.16.0 around its clock, each against the real package: versions that run ahead, come back, are
// used twice or belong to somebody else lose no row.
import assert from "node:assert/strict";
import { device, exact, exchange, open, openWith, pair, PlainRelay, settled, until } from "./harness.mjs";
import { bytes, restore } from "./files.mjs";
import { push, row } from "./stranger.mjs";
import { trap } from "./trap.mjs";

const T = ["CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, a, b)"];
const stop = (...devices) => Promise.all(devices.map(({ client }) => client.stop()));
const value = async (db, sql) => (await db.execA(sql))[0]?.[0];
const highest = (db) => value(db, "SELECT max(db_version) FROM crsql_changes");

let files = 0;
/** A name of its own for every run. */
const file = (name) => `${name}-${(files += 1)}.db`;

trap("A4: a rolled-back savepoint does not push the watermark ahead of the rows", ["max-of-rows"], async () => {
  const { relay, a, b } = await pair(T);
  await a.db.exec("INSERT INTO t VALUES (1, 'one', NULL)");
  await exchange(a, b);
  await a.db.tx(async (tx) => {
    for (let i = 0; i < 50; i++) await tx.exec("UPDATE t SET a = ?", [i]);
    throw new Error("changed my mind");
  }).catch(() => {});
  assert.ok((await value(a.db, "SELECT crsql_db_version()")) > 1, "cr-sqlite's own count has run ahead");
  await a.client.syncNow();
  const top = await highest(a.db);
  const said = relay.frames.filter(({ from }) => from === a.transport.name).flatMap(({ payload }) => [payload.head ?? 0, payload.currentVersion ?? 0]);
  assert.ok(Math.max(...said) <= top, `${said} of ${top}`);
  await a.db.exec("INSERT INTO t VALUES (2, 'two', NULL)");
  await exchange(a, b);
  assert.deepEqual(await b.db.execA("SELECT id, a FROM t"), [[1, "one"], [2, "two"]]);
  await stop(a, b);
});

trap("A6: no page is cut inside a version, also where its places stand twice after a merge", ["whole-versions"], async () => {
  const relay = new PlainRelay();
  const options = { start: false, batchChanges: 20 };
  const [a, b, c] = [await device(relay, T, options), await device(relay, T, options), await device(relay, T, options)];
  const many = (from) => Array.from({ length: 15 }, (_, at) => `(${from + at}, ${at}, 'x')`).join(", ");
  await a.db.exec("INSERT INTO t VALUES (1, 'first', NULL)");
  await a.db.exec(`INSERT INTO t VALUES ${many(100)}`);
  await c.db.exec("INSERT INTO t VALUES (2, 'first of c', NULL)");
  await c.db.exec(`INSERT INTO t VALUES ${many(200)}`);
  await Promise.all([a.client.start(), b.client.start(), c.client.start()]);
  await settled(a, b, c);
  await stop(a, c);
  const d = await device(relay, T, options);
  await d.client.start();
  await settled(b, d);
  assert.equal(await value(d.db, "SELECT count(*) FROM t"), 32);
  await stop(b, d);
});

trap("A7: a version in a row is its sender's and moves no cursor of its origin", ["senders-clock"], async () => {
  const { relay, a, b } = await pair(T);
  const c = await device(relay, T);
  await a.db.exec("INSERT INTO t VALUES (1, 'one', NULL)");
  await exchange(a, b, c);
  // Somebody whose clock is far ahead hands a row of a's on.
  const author = Buffer.from(a.db.siteid, "hex").toString("base64");
  relay.inject(push([row({ pk: "010902", val: "two", site_id: author, db_version: 1_000_000 })]));
  await until(async () => (await value(c.db, "SELECT a FROM t WHERE id = 2")) === "two");
  c.transport.cut();
  await b.db.exec("INSERT INTO t VALUES (3, 'three', NULL)");
  await exchange(a, b);
  await b.client.stop();
  c.transport.connect();
  await settled(a, c);
  assert.equal(await value(c.db, "SELECT a FROM t WHERE id = 3"), "three");
  await stop(a, c);
});

trap("A10: the highest version is found, although two descending keys bring the lowest first", ["one-sort-key"], async () => {
  const { a, b } = await pair(T, { start: false });
  for (const id of [1, 2, 3]) await a.db.exec(`INSERT INTO t VALUES (${id}, 'old', 'old')`);
  assert.equal(await value(a.db, "SELECT db_version FROM crsql_changes ORDER BY db_version DESC, seq DESC LIMIT 1"), 1);
  await Promise.all([a.client.start(), b.client.start()]);
  await settled(a, b);
  assert.equal(await value(b.db, "SELECT count(*) FROM t"), 3);
  await stop(a, b);
});

/** A database that a crash has taken back behind a transaction which the neighbour has. */
async function undone(relay, b) {
  const name = file("undone");
  const a = await device(relay, T, { name });
  await a.db.exec("INSERT INTO t VALUES (1, 'kept', NULL)");
  await exchange(a, b);
  const earlier = await bytes(name);
  b.transport.cut();
  // Several versions, of which less are used again: where the old ones begin depends on when the floor was seen.
  await a.db.exec("INSERT INTO t VALUES (2, 'undone', NULL)");
  for (const word of ["once", "twice", "thrice"]) await a.db.exec("UPDATE t SET b = ? WHERE id = 2", [word]);
  // In an answer, which moves the neighbour's cursor.
  b.transport.connect();
  await exchange(a, b);
  await stop(a, b);
  await a.db.close();
  await restore(name, earlier);
  return open(name);
}

trap("A11: what is written with the versions of transactions that a crash undid arrives", ["device-runs", "run-begins-at-high"], async () => {
  const relay = new PlainRelay();
  const b = await device(relay, T);
  const db = await undone(relay, b);
  assert.equal(await value(db, "SELECT count(*) FROM t"), 1);
  await db.exec("INSERT INTO t VALUES (3, 'of the same version', NULL)");
  const a = await device(relay, [], { db });
  await b.client.start();
  await settled(a, b);
  assert.deepEqual(await exact(a.db, "t"), await exact(b.db, "t"));
  assert.deepEqual(await b.db.execA("SELECT id FROM t ORDER BY id"), [[1], [2], [3]]);
  await stop(a, b);
});

trap("A11: what a crash undid of what was received is asked for again: cursors are undone with the rows", [], async () => {
  const relay = new PlainRelay();
  const a = await device(relay, T);
  const name = file("forgetful");
  const first = await device(relay, T, { name });
  await a.db.exec("INSERT INTO t VALUES (1, 'one', NULL)");
  await exchange(a, first);
  await first.client.stop();
  await first.db.close();
  const earlier = await bytes(name);
  const second = await device(relay, [], { db: await open(name) });
  await a.db.exec("INSERT INTO t VALUES (2, 'two', NULL)");
  await exchange(a, second);
  await second.client.stop();
  await second.db.close();
  await restore(name, earlier);
  const b = await device(relay, [], { db: await open(name) });
  await settled(a, b);
  assert.deepEqual(await b.db.execA("SELECT id FROM t ORDER BY id"), [[1], [2]]);
  await stop(a, b);
});

trap("A17: versions never go below the floor, also after a table was dropped and the database opened again", ["floor"], async () => {
  const relay = new PlainRelay();
  const name = file("floor");
  const schema = [...T, "CREATE TABLE u (id INTEGER PRIMARY KEY NOT NULL, a)"];
  const a = await device(relay, schema, { db: await openWith(schema, name) });
  const b = await device(relay, schema);
  await a.db.exec("INSERT INTO t VALUES (1, 'one', NULL)");
  for (let i = 0; i < 5; i++) await a.db.exec(`INSERT OR REPLACE INTO u VALUES (1, ${i})`);
  await exchange(a, b);
  await stop(a, b);
  const high = await highest(a.db);
  await a.db.exec("SELECT crsql_as_table('u')");
  await a.db.exec("DROP TABLE u");
  assert.ok((await highest(a.db)) < high, "the drop took versions back");
  await a.db.close();
  const again = await open(name);
  await again.exec("INSERT INTO t VALUES (2, 'two', NULL)");
  assert.ok((await highest(again)) > high);
  await again.close();
});

trap("A17: a column that an alteration fills arrives on a device that was up to date", ["floor"], async () => {
  const { a, b } = await pair(T, { start: false });
  await a.db.exec("INSERT INTO t VALUES (1, 'one', NULL)");
  // By an answer: a push would not move the cursor that covers what is filled.
  await Promise.all([a.client.start(), b.client.start()]);
  await exchange(a, b);
  const alter = async (db, fill) => {
    await db.exec("SELECT crsql_begin_alter('t')");
    await db.exec("ALTER TABLE t ADD COLUMN c TEXT DEFAULT NULL");
    if (fill) await db.exec("UPDATE t SET c = 'filled'");
    await db.exec("SELECT crsql_commit_alter('t')");
  };
  await alter(b.db, false);
  await alter(a.db, true);
  await a.client.syncNow();
  await exchange(a, b);
  assert.equal(await value(b.db, "SELECT c FROM t"), "filled");
  await stop(a, b);
});
