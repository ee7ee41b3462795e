// What a user does with two devices, over a relay that only forwards, against the real package.
import assert from "node:assert/strict";
import { test } from "node:test";
import { device, exact, exchange, pair, PlainRelay, settled, until } from "./harness.mjs";
import { push, row } from "./stranger.mjs";

const T = ["CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, a, b)"];
const stop = (...devices) => Promise.all(devices.map(({ client }) => client.stop()));

test("what was there before the first start arrives, in both directions", async () => {
  const { a, b } = await pair(T, { start: false });
  await a.db.exec("INSERT INTO t VALUES (1, 'from a', NULL)");
  await b.db.exec("INSERT INTO t VALUES (2, 'from b', NULL)");
  await Promise.all([a.client.start(), b.client.start()]);
  await settled(a, b);
  assert.deepEqual(await exact(a.db, "t"), await exact(b.db, "t"));
  assert.equal((await exact(a.db, "t")).length, 2);
  await stop(a, b);
});

test("composite keys, also in another order than the columns, name the same rows", async () => {
  const { a, b } = await pair([
    "CREATE TABLE k (x TEXT NOT NULL, v, y INTEGER NOT NULL, z BLOB NOT NULL, PRIMARY KEY (y, z, x)) STRICT".replace(" v,", " v ANY,"),
  ]);
  await a.db.exec("INSERT INTO k (x, y, z, v) VALUES ('', 300, x'', 5.0), ('a', -1, x'00', 5), ('a' || char(0) || 'b', 9223372036854775807, x'FF', '5')");
  await exchange(a, b);
  await b.db.exec("UPDATE k SET v = 'changed' WHERE y = 300");
  await b.db.exec("UPDATE k SET y = 301 WHERE y = -1");
  await b.db.exec("DELETE FROM k WHERE z = x'FF'");
  await exchange(b, a);
  assert.deepEqual(await exact(a.db, "k"), await exact(b.db, "k"));
  assert.equal((await exact(a.db, "k")).length, 2);
  await stop(a, b);
});

test("a deleted row stays deleted, and comes back when it is inserted again", async () => {
  const { a, b } = await pair(T);
  await a.db.exec("INSERT INTO t VALUES (1, 'one', 'uno'), (2, 'two', 'due')");
  await exchange(a, b);
  await b.db.exec("DELETE FROM t WHERE id = 1");
  await exchange(b, a);
  assert.deepEqual(await a.db.execA("SELECT id FROM t"), [[2]]);
  await a.db.exec("INSERT INTO t VALUES (1, 'again', NULL)");
  await exchange(a, b);
  assert.deepEqual(await b.db.execA("SELECT * FROM t WHERE id = 1"), [[1, "again", null]]);
  await stop(a, b);
});

test("text keys that are equal as numbers are different rows, also when their keys change", async () => {
  const { a, b } = await pair(["CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, a, b)"]);
  await a.db.exec("INSERT INTO t VALUES ('1', 'one', 1), ('01', 'zero one', 2), ('1.0', 'one point', 3)");
  await exchange(a, b);
  await a.db.exec("UPDATE t SET id = '001' WHERE id = '01'");
  await exchange(a, b);
  assert.deepEqual(await b.db.execA("SELECT id, a, b FROM t ORDER BY b"), [["1", "one", 1], ["001", "zero one", 2], ["1.0", "one point", 3]]);
  await stop(a, b);
});

test("columns with odd names are no trouble", async () => {
  const { a, b } = await pair([`CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, "select" TEXT, "two words" INTEGER, "it's" TEXT)`]);
  await a.db.exec(`INSERT INTO t VALUES ('1', 'x', 2, 'y')`);
  await exchange(a, b);
  await a.db.exec("UPDATE t SET id = '2'");
  await exchange(a, b);
  assert.deepEqual(await b.db.execA("SELECT * FROM t"), [["2", "x", 2, "y"]]);
  await stop(a, b);
});

test("tables of keys alone replicate", async () => {
  const { a, b } = await pair([
    "CREATE TABLE tags (post INTEGER NOT NULL, tag TEXT NOT NULL, PRIMARY KEY (post, tag))",
  ]);
  await a.db.exec("INSERT INTO tags VALUES (1, 'x'), (1, 'y')");
  await exchange(a, b);
  await a.db.exec("DELETE FROM tags WHERE tag = 'x'");
  await a.db.exec("UPDATE tags SET tag = 'z' WHERE tag = 'y'");
  await exchange(a, b);
  assert.deepEqual(await b.db.execA("SELECT * FROM tags"), [[1, "z"]]);
  await stop(a, b);
});

test("ten thousand changes in one version and many small ones arrive whole", async () => {
  const { a, b } = await pair(T, { batchChanges: 100 });
  await a.db.exec("INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) SELECT i, i, 'row ' || i FROM n");
  for (let i = 0; i < 300; i++) await a.db.exec("UPDATE t SET a = -a WHERE id = ?", [i]);
  await settled(a, b);
  assert.deepEqual(await exact(b.db, "t"), await exact(a.db, "t"));
  await stop(a, b);
});

test("only the named tables travel", async () => {
  const schema = [...T, "CREATE TABLE secret (id INTEGER PRIMARY KEY NOT NULL, a)"];
  const relay = new PlainRelay();
  const a = await device(relay, schema, { tables: ["t"] });
  const b = await device(relay, schema);
  await a.db.exec("INSERT INTO secret VALUES (1, 'mine')");
  await a.db.exec("INSERT INTO t VALUES (1, 'ours', NULL)");
  await until(async () => (await b.db.execA("SELECT * FROM t")).length === 1);
  relay.inject(push([row({ table: "secret", val: "theirs" })]));
  await until(async () => (await b.db.execA("SELECT * FROM secret")).length === 1);
  assert.deepEqual(await a.db.execA("SELECT * FROM secret"), [[1, "mine"]]);
  assert.ok(!JSON.stringify(relay.frames).includes("mine"));
  await stop(a, b);
});

test("a connection that breaks in the middle costs nothing", async () => {
  const { a, b } = await pair(T);
  await exchange(a, b);
  a.transport.cut();
  await until(() => a.client.status.state === "connecting");
  assert.ok(a.client.status.retryAt > Date.now());
  await a.db.exec("INSERT INTO t VALUES (1, 'while away', NULL)");
  await b.db.exec("INSERT INTO t VALUES (2, 'meanwhile', NULL)");
  await until(() => a.client.status.pendingChanges === 2);
  await a.transport.connect();
  await settled(a, b);
  assert.equal((await exact(a.db, "t")).length, 2);
  await until(() => a.client.status.pendingChanges === 0 && a.client.status.state === "live");
  await stop(a, b);
});

test("applied names the tables and keys that changed, and who changed them", async () => {
  const { a, b } = await pair(T);
  await exchange(a, b);
  await a.db.exec("INSERT INTO t VALUES (5, 'x', 'y')");
  await exchange(a, b);
  await until(() => b.applied.length > 0);
  const event = b.applied.at(-1);
  assert.equal(event.source, "remote");
  assert.equal(event.from, a.db.siteid.toLowerCase());
  assert.deepEqual(event.tables, { t: [[5]] });
  assert.deepEqual(a.applied, []);
  await stop(a, b);
});

test("a database without the low-level api replicates exactly too", async () => {
  const relay = new PlainRelay();
  const schema = ["CREATE TABLE v (id TEXT PRIMARY KEY NOT NULL, u, i INTEGER, r REAL, t TEXT)"];
  const a = await device(relay, schema, { start: false });
  const { db } = a;
  // What an adapter of another build would offer.
  const adapted = {
    filename: db.filename,
    siteid: db.siteid,
    exec: (sql, bind) => db.exec(sql, bind),
    execA: (sql, bind) => db.execA(sql, bind),
    prepare: (sql) => db.prepare(sql),
    tx: (body) => db.tx(body),
    onUpdate: (listener) => db.onUpdate(listener),
  };
  const c = await device(relay, schema, { db: adapted });
  const b = await device(relay, schema);
  const values = ["NULL", "5", "5.0", "-0.0", "9e999", "9223372036854775807", "''", "x''", "'a' || char(0) || 'b'", "CAST(x'61FF' AS TEXT)", "x'00FF'"];
  for (const [at, sql] of values.entries()) await (at % 2 ? db : b.db).exec(`INSERT INTO v VALUES ('${at}', ${sql}, ${sql}, ${sql}, ${sql})`);
  await settled({ ...c, db }, b);
  assert.deepEqual(await exact(db, "v"), await exact(b.db, "v"));
  assert.equal((await exact(db, "v")).length, values.length);
  await stop(c, b);
});

test("cr-sqlite's automatic migration leaves our bookkeeping alone", async () => {
  const { a, b } = await pair([]);
  const schema = (columns) => `CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL, ${columns}); SELECT crsql_as_crr('main', 'notes');`;
  for (const { db } of [a, b]) await db.automigrateTo("app", schema("a TEXT"));
  await a.db.exec("INSERT INTO notes VALUES ('1', 'x')");
  await exchange(a, b);
  const kept = () => a.db.execA(`SELECT count(*) FROM crsqlite_sync_state -- ${Math.random()}`);
  const before = await kept();
  assert.ok(before[0][0] > 0);
  // This drops and rebuilds the app's table, rows and all: measured without us as well.
  await a.db.automigrateTo("app", schema("a TEXT, b TEXT"));
  assert.deepEqual(await kept(), before);
  await stop(a, b);
});
