// The traps of cr-sqlite 0.16.0 on the way into a database, each against the real package: what would switch change
// tracking off, split replicas or crash the database does not.
import assert from "node:assert/strict";
import { device, exact, exchange, pair, PlainRelay, settled, until } from "./harness.mjs";
import { push, row } from "./stranger.mjs";
import { trap } from "./trap.mjs";

const T = ["CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, a, b)"];
const stop = (...devices) => Promise.all(devices.map(({ client }) => client.stop()));
const value = async (db, sql) => (await db.execA(sql))[0]?.[0];

trap("A1: a refused row leaves change tracking on: local writes after it still sync", ["tracking-on"], async () => {
  const { relay, a, b } = await pair([
    "CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, a INTEGER NOT NULL DEFAULT 0 CHECK (a < 100), b)",
  ]);
  relay.inject(push([row({ val: 1000 })]));
  await until(() => a.client.status.quarantined === 1 && b.client.status.quarantined === 1);
  await a.db.exec("INSERT INTO t VALUES (7, 5, 'after')");
  await exchange(a, b);
  assert.deepEqual(await b.db.execA("SELECT * FROM t"), [[7, 5, "after"]]);
  assert.equal(await value(a.db, "SELECT crsql_internal_sync_bit()"), 0);
  assert.equal((await a.client.quarantine())[0].code, "refused");
  await stop(a, b);
});

trap("A1: a row that a trigger of the app refuses leaves no trace, and the rows around it are taken", ["undone-statements"], async () => {
  const relay = new PlainRelay();
  const a = await device(relay, T);
  await a.db.exec("INSERT INTO t VALUES (1, 'here', 'here')");
  await a.db.exec("CREATE TRIGGER no BEFORE UPDATE OF a ON t WHEN new.a = 'bad' BEGIN SELECT RAISE(ABORT, 'no'); END");
  await a.db.exec("CREATE TRIGGER never BEFORE INSERT ON t WHEN new.id = 9 BEGIN SELECT RAISE(FAIL, 'no'); END");
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

trap("A2: two devices that set a millisecond timestamp at once agree", ["typed-values"], async () => {
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

trap("A2: a value of another type than its column's wins or loses as the column would hold it", ["affinity"], async () => {
  const relay = new PlainRelay();
  const a = await device(relay, ["CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, r REAL, s TEXT, last)"]);
  await a.db.exec("INSERT INTO t VALUES (1, 7.5, '5', NULL)");
  relay.inject(push([
    row({ cid: "r", val: 5 }), // as an INTEGER it would beat every REAL
    row({ cid: "s", val: 7 }),
    row({ pk: "010902", cid: "last", val: "here" }),
  ]));
  await until(async () => (await value(a.db, "SELECT last FROM t WHERE id = 2")) === "here");
  assert.deepEqual(await a.db.execA("SELECT r, s, typeof(s) FROM t WHERE id = 1"), [[7.5, "7", "text"]]);
  await stop(a);
});

trap("A3: a malformed key never reaches the database", ["checked-keys"], async () => {
  const relay = new PlainRelay();
  const a = await device(relay, [...T, "CREATE TABLE k (x TEXT NOT NULL, y INTEGER NOT NULL, v, PRIMARY KEY (y, x))"]);
  const bad = ["", "00", "01", "0109", "010B05", "01090100", "0106", "02090109", "FF"];
  relay.inject(push([
    ...bad.map((pk) => row({ pk, val: "bad" })),
    row({ pk: "0209010902", val: "two columns for one" }),
    row({ table: "k", cid: "v", pk: "010901", val: "one column for two" }),
    row({ pk: "0105", val: "a NULL key" }),
    row({ val: "good" }),
  ]));
  await until(() => a.client.status.quarantined === bad.length + 3);
  assert.deepEqual(await a.db.execA("SELECT id, a FROM t"), [[1, "good"]]);
  assert.deepEqual(await a.db.execA("SELECT * FROM k"), []);
  await stop(a);
});

trap("A3: a key in another type than the column's is taken as the column would hold it", ["affinity"], async () => {
  const relay = new PlainRelay();
  const a = await device(relay, ["CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, a, b)"]);
  await a.db.exec("INSERT INTO t (id, a) VALUES ('1', 'old')");
  relay.inject(push([row({ pk: "010901", val: "new", col_version: 2 })]));
  await until(async () => (await value(a.db, "SELECT a FROM t")) === "new");
  assert.deepEqual(await a.db.execA("SELECT typeof(id), id FROM t"), [["text", "1"]]);
  assert.deepEqual(await a.db.execA("SELECT DISTINCT hex(pk) FROM crsql_changes"), [["010B0131"]], "one identity");
  await stop(a);
});

trap("A8: a foreign clock does not poison ours", ["version-range", "bind-zero"], async () => {
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

trap("A9: a row without an origin is not taken for our own", ["whole-site-ids"], async () => {
  const relay = new PlainRelay();
  const a = await device(relay, T);
  relay.inject(push([
    row({ val: 1, site_id: "" }),
    row({ pk: "010902", val: 1, site_id: null }),
    row({ pk: "010903", val: 1, site_id: "AAAA" }),
    row({ pk: "010904", val: "good" }),
  ]));
  await until(async () => (await value(a.db, "SELECT a FROM t WHERE id = 4")) === "good");
  assert.equal(await value(a.db, "SELECT count(*) FROM crsql_changes WHERE site_id = crsql_site_id()"), 0);
  assert.deepEqual(await a.db.execA("SELECT id FROM t"), [[4]]);
  assert.equal(a.client.status.quarantined, 3);
  await stop(a);
});

trap("A13: one bad row of a message stops no other, and costs no connection", ["bisection"], async () => {
  const { relay, a, b } = await pair(["CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, a CHECK (a <> 'bad'), b)"]);
  await exchange(a, b);
  const states = [];
  a.transport.onStateChange(({ state }) => states.push(state));
  const keys = Array.from({ length: 50 }, (_, at) => Buffer.from([1, 9, at + 1]).toString("hex"));
  relay.inject(push(keys.map((pk, at) => row({ pk, val: at === 7 ? "bad" : at, cid: "a" }))));
  await until(async () => (await value(a.db, "SELECT count(*) FROM t")) === 49);
  const [kept, ...more] = await a.client.quarantine();
  assert.deepEqual([kept.code, kept.row.val, more.length], ["refused", "bad", 0]);
  await a.db.exec("INSERT INTO t VALUES (100, 'after', NULL)");
  await exchange(a, b);
  assert.deepEqual([states, a.errors], [[], []]);
  await stop(a, b);
});

trap("A16: poison sentinels are kept aside", ["sound-sentinels"], async () => {
  const relay = new PlainRelay();
  const a = await device(relay, T);
  await a.db.exec("INSERT INTO t VALUES (1, 'one', 'uno')");
  relay.inject(push([
    row({ cid: "-1", cl: 1, col_version: 9 }),
    row({ cid: "a", val: "x", cl: 4, col_version: 9 }),
    row({ pk: "010902", val: "good" }),
  ]));
  await until(async () => (await value(a.db, "SELECT a FROM t WHERE id = 2")) === "good");
  assert.deepEqual(await a.db.execA("SELECT * FROM t WHERE id = 1"), [[1, "one", "uno"]]);
  assert.deepEqual((await a.client.quarantine()).map(({ code }) => code), ["poison-sentinel", "poison-sentinel"]);
  await stop(a);
});
