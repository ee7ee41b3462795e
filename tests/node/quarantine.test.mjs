// Rows that do not fit here: kept, shown, tried again, bounded, and no other row stopped.
import assert from "node:assert/strict";
import { test } from "node:test";
import { migrate } from "./database.mjs";
import { device, open, PlainRelay, settled, until } from "./harness.mjs";
import { push, row } from "./stranger.mjs";

const T = ["CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, a, b)"];
const value = async ({ db }, sql) => (await db.execA(sql))[0]?.[0];
const stop = (...devices) => Promise.all(devices.map(({ client }) => client.stop()));
const key = (id) => Buffer.from([1, 0x11, id >> 8, id & 255]).toString("hex");
/** It leads and is connected; what the relay says from now on is heard. */
async function ready({ client }) {
  await until(() => ["catching-up", "live"].includes(client.status.state), "it is connected");
  await client.quarantine();
}
const codes = async ({ client }) => (await client.quarantine()).map(({ code }) => code).sort();

/** A device that refuses every `a` of "bad" as long as a row of a table of its own says so. */
async function strict(relay) {
  const a = await device(relay, T);
  await a.db.exec("CREATE TABLE rules (strict)");
  await a.db.exec("INSERT INTO rules VALUES (1)");
  const body = "WHEN new.a = 'bad' AND (SELECT strict FROM rules) BEGIN SELECT RAISE(ABORT, 'no'); END";
  await a.db.exec(`CREATE TRIGGER before_insert BEFORE INSERT ON t ${body}`);
  await a.db.exec(`CREATE TRIGGER before_update BEFORE UPDATE ON t ${body}`);
  await ready(a);
  return a;
}

test("retry tries what a trigger has refused, when the app has relaxed it without a change of its schema", async () => {
  const relay = new PlainRelay();
  const a = await strict(relay);
  relay.inject(push([row({ pk: key(1001), val: "bad" }), row({ pk: key(1002), val: "good" })]));
  await until(() => a.client.status.quarantined === 1, "the row is put aside");
  assert.deepEqual(await a.client.retry(), { quarantined: 1, rejected: 0 }, "nothing has changed yet");
  await a.db.exec("UPDATE rules SET strict = 0");
  const heard = a.applied.length;
  assert.deepEqual(await a.client.retry(), { quarantined: 0, rejected: 0 });
  assert.deepEqual(await a.db.execA("SELECT id, a FROM t"), [[1001, "bad"], [1002, "good"]]);
  assert.deepEqual(await a.client.quarantine(), []);
  assert.equal(a.client.status.quarantined, 0);
  assert.deepEqual(a.applied.slice(heard).map(({ tables }) => tables), [{ t: [[1001]] }]);
  assert.equal(await value(a, "SELECT crsql_internal_sync_bit()"), 0);
  await stop(a);
});

test("retry needs no connection where only this database has to be asked", async () => {
  const relay = new PlainRelay();
  const a = await strict(relay);
  relay.inject(push([row({ pk: key(1001), val: "bad" })]));
  await until(() => a.client.status.quarantined === 1, "the row is put aside");
  await a.db.exec("UPDATE rules SET strict = 0");
  a.transport.cut();
  assert.deepEqual(await a.client.retry(), { quarantined: 0, rejected: 0 });
  assert.equal(await value(a, "SELECT a FROM t"), "bad");
  await stop(a);
  await assert.rejects(a.client.retry(), { code: "stopped" });
});

test("one bad row of each kind stops no other, and each comes back when the schema lets it", async () => {
  const relay = new PlainRelay();
  const a = await device(relay, [
    "CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, a INTEGER NOT NULL DEFAULT 0 CHECK (a < 100), b)",
  ]);
  await ready(a);
  relay.inject(push([
    row({ pk: key(1001), val: 1 }),
    row({ pk: key(1002), val: 1000 }), // CHECK
    row({ pk: key(1003), val: null }), // NOT NULL
    row({ pk: key(1004), val: 4, cid: "later" }),
    row({ pk: key(1005), val: 5, table: "later" }),
    row({ pk: "020901" + "0901", val: 6 }),
    row({ pk: "ff", val: 7 }),
    row({ pk: key(1008), val: 8, cid: "b" }),
  ]));
  await until(() => a.client.status.quarantined === 6, "the bad ones are put aside");
  assert.deepEqual(await codes(a), ["key-mismatch", "malformed-key", "refused", "refused", "unknown-column", "unknown-table"]);
  assert.deepEqual(await a.db.execA("SELECT id FROM t ORDER BY id"), [[1001], [1008]]);
  await a.db.exec("SELECT crsql_begin_alter('t')");
  await a.db.exec("ALTER TABLE t ADD COLUMN later");
  await a.db.exec("SELECT crsql_commit_alter('t')");
  await a.db.exec("CREATE TABLE later (id INTEGER PRIMARY KEY NOT NULL, a)");
  await a.db.exec("SELECT crsql_as_crr('main', 'later')");
  await until(() => a.client.status.quarantined === 4, "it is tried by itself when the schema has changed");
  assert.deepEqual(await codes(a), ["key-mismatch", "malformed-key", "refused", "refused"]);
  assert.equal(await value(a, "SELECT later FROM t WHERE id = 1004"), 4);
  assert.equal(await value(a, "SELECT a FROM later"), 5);
  await stop(a);
});

test("thousands of bad rows among good ones cost a time that grows with their number only", async () => {
  const many = 1500;
  const among = async (bad) => {
    const relay = new PlainRelay();
    const a = await strict(relay);
    const rows = Array.from({ length: 2 * many }, (_, at) => row({ pk: key(1000 + at), val: at % 2 && at < 2 * bad ? "bad" : "good" }));
    const began = performance.now();
    relay.inject(push(rows));
    await until(() => a.client.status.quarantined === bad && a.applied.length > 0, "all are judged");
    const took = performance.now() - began;
    assert.equal(await value(a, "SELECT count(*) FROM t"), 2 * many - bad);
    // Bit for bit the same again: known rows are not put aside twice.
    relay.inject(push(rows.slice(0, 1000)));
    relay.inject(push([row({ pk: key(999), val: "after it" })]));
    await until(async () => (await value(a, "SELECT count(*) FROM t WHERE id = 999")) === 1, "the last one arrives");
    assert.equal(a.client.status.quarantined, bad);
    if (bad) await a.db.exec("UPDATE rules SET strict = 0");
    if (bad) assert.deepEqual(await a.client.retry(), { quarantined: 0, rejected: 0 });
    assert.equal(await value(a, "SELECT count(*) FROM t"), 2 * many + 1);
    await stop(a);
    return took;
  };
  const [half, whole] = [await among(many / 2), await among(many)];
  assert.ok(whole < 4 * half + 500, `${Math.round(whole)} ms for ${many} bad rows, ${Math.round(half)} ms for half as many`);
});

test("a chain of rows that wait for each other is taken whatever its order", async () => {
  const relay = new PlainRelay();
  const a = await device(relay, T);
  const before = "WHEN new.id > 1000 AND NOT EXISTS (SELECT 1 FROM t WHERE id = new.id - 1) BEGIN SELECT RAISE(ABORT, 'no'); END";
  await a.db.exec(`CREATE TRIGGER one_after_the_other BEFORE INSERT ON t ${before}`);
  await ready(a);
  const rows = Array.from({ length: 100 }, (_, at) => row({ pk: key(1000 + at), val: at }));
  relay.inject(push(rows.reverse()));
  await until(async () => (await value(a, "SELECT count(*) FROM t")) === 100, "all are taken");
  assert.equal(a.client.status.quarantined, 0);
  await stop(a);
});

test("what finds no room in the quarantine is asked for again when there is room", async () => {
  const relay = new PlainRelay();
  const later = ["CREATE TABLE later (id INTEGER PRIMARY KEY NOT NULL, a)"];
  const b = await device(relay, [...T, ...later], { start: false });
  const insert = "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 600) INSERT INTO later SELECT i + ?, 'x' FROM n";
  for (let at = 0; at < 17; at++) await b.db.exec(insert, [at * 600]);
  await b.db.exec("INSERT INTO t VALUES (1, 'one', NULL)");
  const a = await device(relay, T);
  await b.client.start();
  await until(async () => (await value(a, "SELECT count(*) FROM t")) === 1, "what fits arrives");
  assert.equal(a.client.status.quarantined, 10_000, "the bound");
  assert.equal((await a.client.quarantine()).length, 10_000);
  await migrate(a.db, later);
  assert.deepEqual(await a.client.retry(), { quarantined: 0, rejected: 0 });
  await settled(a, b);
  assert.equal(await value(a, "SELECT count(*) FROM later"), 17 * 600);
  await stop(a, b);
});

test("a tab that follows can retry, and hears what is left", async () => {
  const relay = new PlainRelay();
  const first = await device(relay, T, { name: "tabs-retry.db" });
  const second = await device(relay, [], { db: await open("tabs-retry.db") });
  relay.inject(push([row({ table: "unknown" })]));
  await until(() => second.client.status.quarantined === 1, "both know it");
  assert.deepEqual(await second.client.retry(), { quarantined: 1, rejected: 0 });
  await stop(second, first);
  await second.db.close();
  await first.db.close();
});
