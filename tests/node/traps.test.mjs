// The traps of cr-sqlite 0.16.0, each against the real package: what would lose, split or corrupt data does not.
import assert from "node:assert/strict";
import { test } from "node:test";
import { device, exact, exchange, open, pair, PlainRelay, settled, until } from "./harness.mjs";
import { push, row } from "./stranger.mjs";

const T = ["CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, a, b)"];
const stop = (...devices) => Promise.all(devices.map(({ client }) => client.stop()));
const value = async (db, sql) => (await db.execA(sql))[0]?.[0];

test("a refused row leaves change tracking on: local writes after it still sync", async () => {
  const { relay, a, b } = await pair([
    "CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, a INTEGER NOT NULL DEFAULT 0 CHECK (a < 100), b)",
  ]);
  relay.inject(push([row({ val: 1000 })]));
  await until(() => a.client.status.quarantined === 1 && b.client.status.quarantined === 1);
  assert.equal(await value(a.db, "SELECT crsql_internal_sync_bit()"), 0);
  await a.db.exec("INSERT INTO t VALUES (7, 5, 'after')");
  await exchange(a, b);
  assert.deepEqual(await b.db.execA("SELECT * FROM t"), [[7, 5, "after"]]);
  assert.equal((await a.client.quarantine())[0].code, "refused");
  await stop(a, b);
});

test("a row that a trigger of the app refuses leaves no trace, and the rows around it are taken", async () => {
  const relay = new PlainRelay();
  const a = await device(relay, T);
  await a.db.exec("INSERT INTO t VALUES (1, 'here', 'here')");
  await a.db.exec("CREATE TRIGGER no BEFORE UPDATE OF a ON t WHEN new.a = 'bad' BEGIN SELECT RAISE(ABORT, 'no'); END");
  await a.db.exec("CREATE TRIGGER never BEFORE INSERT ON t WHEN new.id = 9 BEGIN SELECT RAISE(FAIL, 'no'); END");
  await a.client.waitForSynced({ level: "sent" });
  // A revival that carries the bad value: cr-sqlite writes the sentinel and zeroes the columns before it fails.
  relay.inject(push([
    row({ pk: "010902", val: "good", cid: "a" }),
    row({ cid: "a", val: "bad", cl: 3, col_version: 1 }),
    row({ pk: "010909", val: 1 }),
    row({ pk: "010903", val: "good", cid: "a" }),
  ]));
  await until(() => a.client.status.quarantined === 2);
  assert.deepEqual(await a.db.execA("SELECT * FROM t"), [[1, "here", "here"], [2, "good", null], [3, "good", null]]);
  const left = await a.db.execA("SELECT cid, col_version, cl FROM crsql_changes WHERE pk = x'010901' ORDER BY cid");
  assert.deepEqual(left, [["a", 1, 1], ["b", 1, 1]]);
  assert.deepEqual(await a.db.execA("SELECT id FROM t__crsql_pks ORDER BY id"), [[1], [2], [3]]);
  await stop(a);
});

test("two devices that set a millisecond timestamp at once agree", async () => {
  const schema = ["CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, at INTEGER, r REAL, u)"];
  const { a, b } = await pair(schema, { start: false });
  await a.db.exec("INSERT INTO t VALUES (1, 1700000000123, 5.0, 5.0)");
  await b.db.exec("INSERT INTO t VALUES (1, 1700000000456, 4.0, 4)");
  await Promise.all([a.client.start(), b.client.start()]);
  await settled(a, b);
  assert.deepEqual(await exact(a.db, "t"), await exact(b.db, "t"));
  // The larger of the same type wins; in an untyped column the type is compared first, and INTEGER is larger.
  assert.deepEqual(await a.db.execA("SELECT at, typeof(at), r, typeof(r), u, typeof(u) FROM t"), [
    [1700000000456, "integer", 5, "real", 4, "integer"],
  ]);
  await stop(a, b);
});

test("a malformed key never reaches the database", async () => {
  const relay = new PlainRelay();
  const a = await device(relay, [...T, "CREATE TABLE k (x TEXT NOT NULL, y INTEGER NOT NULL, v, PRIMARY KEY (y, x))"]);
  const bad = ["", "00", "01", "0109", "010B05", "01090100", "0106", "02090109", "FF"];
  relay.inject(push([
    ...bad.map((pk) => row({ pk, val: "bad" })),
    row({ pk: "02090109 02".replace(" ", ""), val: "two columns for one" }),
    row({ table: "k", cid: "v", pk: "010901", val: "one column for two" }),
    row({ pk: "0105", val: "a NULL key" }),
    row({ val: "good" }),
  ]));
  await until(() => a.client.status.quarantined === bad.length + 3);
  assert.deepEqual(await a.db.execA("SELECT id, a FROM t"), [[1, "good"]]);
  assert.deepEqual(await a.db.execA("SELECT * FROM k"), []);
  await stop(a);
});

test("a key in another type than the column's is taken as the column would hold it", async () => {
  const relay = new PlainRelay();
  const a = await device(relay, ["CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, a, b)"]);
  await a.db.exec("INSERT INTO t (id, a) VALUES ('1', 'old')");
  relay.inject(push([row({ pk: "010901", val: "new", col_version: 2 })]));
  await until(async () => (await value(a.db, "SELECT a FROM t")) === "new");
  assert.deepEqual(await a.db.execA("SELECT typeof(id), id FROM t"), [["text", "1"]]);
  await stop(a);
});

test("a rolled-back savepoint does not push the watermark ahead of the rows", async () => {
  const { a, b } = await pair(T);
  await a.db.exec("INSERT INTO t VALUES (1, 'one', NULL)");
  await exchange(a, b);
  await a.db.tx(async (tx) => {
    for (let i = 0; i < 50; i++) await tx.exec("UPDATE t SET a = ?", [i]);
    throw new Error("changed my mind");
  }).catch(() => {});
  await a.db.exec("INSERT INTO t VALUES (2, 'two', NULL)");
  await exchange(a, b);
  assert.deepEqual(await b.db.execA("SELECT id, a FROM t"), [[1, "one"], [2, "two"]]);
  await stop(a, b);
});

test("a changed key brings its moved columns to a device that follows", async () => {
  const { a, b } = await pair(T);
  await a.db.exec("INSERT INTO t VALUES (1, 'one', 'uno')");
  await exchange(a, b);
  await a.db.exec("UPDATE t SET id = 2");
  await exchange(a, b);
  assert.deepEqual(await b.db.execA("SELECT * FROM t"), [[2, "one", "uno"]]);
  await stop(a, b);
});

test("a key that one device changes of a row that another wrote brings that other's columns along", async () => {
  const { relay, a, b } = await pair(T);
  const c = await device(relay, T);
  await a.db.exec("INSERT INTO t VALUES (1, 'one', 'uno')");
  await exchange(a, b, c);
  await a.client.stop();
  await b.db.exec("UPDATE t SET id = 2");
  await exchange(b, c);
  assert.deepEqual(await c.db.execA("SELECT * FROM t"), [[2, "one", "uno"]]);
  await stop(b, c);
});

test("columns that a revival zeroes on an older schema still travel, whoever wrote them", async () => {
  const relay = new PlainRelay();
  const a = await device(relay, T);
  const b = await device(relay, T);
  await a.db.exec("INSERT INTO t VALUES (1, 'one', 'uno')");
  await exchange(a, b);
  await a.client.stop();
  const author = Buffer.from(a.db.siteid, "hex").toString("base64");
  const before = relay.frames.length;
  // A peer of an older schema, without the column b, has deleted the row and inserted it again.
  relay.inject(push([
    row({ cid: "-1", cl: 3, col_version: 3 }),
    row({ cid: "a", val: "again", cl: 3, col_version: 1 }),
  ]));
  await until(async () => (await value(b.db, "SELECT a FROM t")) === "again");
  await b.db.exec("INSERT INTO t VALUES (3, 'later', NULL)");
  await b.client.waitForSynced({ level: "sent" });
  const pushed = relay.frames.slice(before).filter(({ type }) => type === "sync_push").flatMap(({ payload }) => payload.changes);
  assert.ok(pushed.some((row) => row.cid === "b" && row.val === "uno" && row.col_version === 0 && row.site_id === author));
  const c = await device(relay, T);
  await settled(b, c);
  assert.deepEqual(await exact(c.db, "t"), await exact(b.db, "t"));
  await stop(b, c);
});

test("a foreign clock does not poison ours", async () => {
  const { relay, a, b } = await pair(T);
  relay.inject(push([
    row({ val: "x", db_version: Number.MAX_SAFE_INTEGER }),
    JSON.parse(JSON.stringify(row({ pk: "010902", val: "y" })).replace('"db_version":1', '"db_version":1e300')),
    row({ pk: "010903", val: "z", col_version: 2 ** 52 }),
  ]));
  await until(async () => (await value(a.db, "SELECT count(*) FROM t")) === 1);
  await until(() => a.client.status.quarantined === 2);
  assert.ok((await value(a.db, "SELECT max(db_version) FROM crsql_changes")) < 100);
  await a.db.exec("INSERT INTO t VALUES (7, 'after', NULL)");
  await exchange(a, b);
  assert.equal(await value(b.db, "SELECT a FROM t WHERE id = 7"), "after");
  await stop(a, b);
});

test("a row without an origin is not taken for our own", async () => {
  const relay = new PlainRelay();
  const a = await device(relay, T);
  relay.inject(push([
    row({ val: 1, site_id: "" }),
    row({ pk: "010902", val: 1, site_id: null }),
    row({ pk: "010903", val: 1, site_id: "AAAA" }),
    row({ pk: "010904", val: "good" }),
  ]));
  await until(() => a.client.status.quarantined === 3);
  assert.deepEqual(await a.db.execA("SELECT id, a FROM t"), [[4, "good"]]);
  assert.equal(await value(a.db, "SELECT count(*) FROM crsql_changes WHERE site_id = crsql_site_id()"), 0);
  await stop(a);
});

test("poison sentinels are kept aside", async () => {
  const relay = new PlainRelay();
  const a = await device(relay, T);
  await a.db.exec("INSERT INTO t VALUES (1, 'one', 'uno')");
  relay.inject(push([
    row({ cid: "-1", cl: 1, col_version: 9 }),
    row({ cid: "a", val: "x", cl: 4, col_version: 9 }),
  ]));
  await until(() => a.client.status.quarantined === 2);
  assert.deepEqual(await a.db.execA("SELECT * FROM t"), [[1, "one", "uno"]]);
  assert.deepEqual((await a.client.quarantine()).map(({ code }) => code), ["poison-sentinel", "poison-sentinel"]);
  await stop(a);
});

test("versions never go below the floor, also after a table was dropped and the database opened again", async () => {
  const relay = new PlainRelay();
  const name = "floor.db";
  const other = "CREATE TABLE u (id INTEGER PRIMARY KEY NOT NULL, a)";
  const a = await device(relay, [...T, other], { name });
  await a.db.exec("INSERT INTO t VALUES (1, 'one', NULL)");
  for (let i = 0; i < 5; i++) await a.db.exec(`INSERT OR REPLACE INTO u VALUES (1, ${i})`);
  await a.client.waitForSynced({ level: "sent" });
  await a.client.stop();
  const high = await value(a.db, "SELECT max(db_version) FROM crsql_changes");
  await a.db.exec("SELECT crsql_as_table('u')");
  await a.db.exec("DROP TABLE u");
  assert.ok((await value(a.db, "SELECT max(db_version) FROM crsql_changes")) < high, "the drop took versions back");
  await a.db.close();
  const again = await open(name);
  await again.exec("INSERT INTO t VALUES (2, 'two', NULL)");
  assert.ok((await value(again, "SELECT max(db_version) FROM crsql_changes")) > high);
  await again.close();
});

test("a column that an alteration fills arrives on a device that was up to date", async () => {
  const { a, b } = await pair(T);
  await a.db.exec("INSERT INTO t VALUES (1, 'one', NULL)");
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

test("nothing is read or applied while the app holds a transaction of its own open", async () => {
  const { relay, a, b } = await pair(T);
  await exchange(a, b);
  await a.db.exec("BEGIN");
  await a.db.exec("INSERT INTO t VALUES (1, 'uncommitted', NULL)");
  relay.inject(push([row({ pk: "010902", val: "remote" })]));
  await until(async () => (await value(b.db, "SELECT a FROM t WHERE id = 2")) === "remote");
  await new Promise((wake) => setTimeout(wake, 100));
  assert.deepEqual(await a.db.execA("SELECT id FROM t /* in the app's transaction */"), [[1]]);
  assert.deepEqual(await b.db.execA("SELECT id FROM t"), [[2]]);
  await a.db.exec("ROLLBACK");
  await settled(a, b);
  assert.deepEqual(await a.db.execA("SELECT id, a FROM t"), [[2, "remote"]]);
  await a.db.exec("INSERT INTO t VALUES (3, 'committed', NULL)");
  await exchange(a, b);
  assert.deepEqual(await b.db.execA("SELECT id, a FROM t ORDER BY id"), [[2, "remote"], [3, "committed"]]);
  await stop(a, b);
});

test("a table that was dropped without its clocks is named", async () => {
  const relay = new PlainRelay();
  const a = await device(relay, [...T, "CREATE TABLE u (id INTEGER PRIMARY KEY NOT NULL, a)"]);
  await a.db.exec("INSERT INTO u VALUES (1, 1)");
  await a.client.waitForSynced({ level: "sent" });
  await a.db.exec("DROP TABLE u");
  await a.db.exec("INSERT INTO t VALUES (1, 1, 1)");
  await until(() => a.errors.some((error) => error.code === "orphan-clock-table"));
  assert.match(a.errors.find((error) => error.code === "orphan-clock-table").message, /: u$/);
  assert.equal(a.client.status.state, "failed");
  assert.equal(a.client.status.reason, "orphan-clock-table");
  await stop(a);
});

test("rows of a table that is not here yet wait and are taken when it is", async () => {
  const { relay, a, b } = await pair(T);
  relay.inject(push([row({ table: "later", cid: "v", val: 5 })]));
  await until(() => a.client.status.quarantined === 1);
  await a.db.exec("CREATE TABLE later (id INTEGER PRIMARY KEY NOT NULL, v)");
  await a.db.exec("SELECT crsql_as_crr('main', 'later')");
  await a.client.syncNow();
  await until(() => a.client.status.quarantined === 0);
  assert.deepEqual(await a.db.execA("SELECT * FROM later"), [[1, 5]]);
  await stop(a, b);
});
