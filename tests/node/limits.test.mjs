// What no protocol cures in cr-sqlite 0.16.0, against the real package: how it shows, and what brings the devices
// together again. Two more are in `errors.test.mjs`: `orphan-clock-table` and `cloned-database`.
import assert from "node:assert/strict";
import { test } from "node:test";
import { commits, restore } from "./files.mjs";
import { clocks, exchange, open, pair, settled, until } from "./harness.mjs";
import { push, row } from "./stranger.mjs";

const T = ["CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, a, b)"];
const stop = (...devices) => Promise.all(devices.map(({ client }) => client.stop()));
const value = async (db, sql) => (await db.execA(sql))[0]?.[0];
const kept = async ({ client }) => (await client.quarantine()).map(({ code, row: { cid } }) => [code, cid]);

test("limit: a key that replaces a live one takes its columns back, and a full exchange makes all equal", async () => {
  const { a, b } = await pair(T);
  await a.db.exec("INSERT INTO t VALUES (1, 'one', 'uno'), (2, 'two', 'dos')");
  for (const word of ["more", "most"]) await a.db.exec("UPDATE t SET a = ? WHERE id = 2", [word]);
  await exchange(a, b);
  await a.db.exec("UPDATE OR REPLACE t SET id = 2 WHERE id = 1");
  assert.equal(await value(a.db, "SELECT col_version FROM crsql_changes WHERE pk = x'010902' AND cid = 'a'"), 1);
  await Promise.all([a.client.resync(), b.client.resync()]);
  // The replaced row's column had changed more often: it wins, on the device that replaced it too.
  const merged = async ({ db }) => JSON.stringify(await db.execA("SELECT * FROM t")) === '[[2,"most","uno"]]';
  await until(async () => (await merged(a)) && (await merged(b)), "both hold the same row");
  // All that still differs is a sentinel that says no more than that the row is alive.
  const rest = async ({ db }) => (await clocks(db)).filter(([, , cid, , , cl]) => cid !== "-1" || cl !== 1);
  assert.deepEqual(await rest(a), await rest(b));
  await stop(a, b);
});

test("limit: a deleted key that comes back inside an alteration is kept aside by others, until it is made again", async () => {
  const { a, b } = await pair(T);
  await a.db.exec("INSERT INTO t VALUES (1, 'one', 'uno')");
  await a.db.exec("DELETE FROM t");
  await exchange(a, b);
  await a.db.exec("SELECT crsql_begin_alter('t')");
  await a.db.exec("INSERT INTO t VALUES (1, 'dead', 'dead')");
  await a.db.exec("SELECT crsql_commit_alter('t')");
  await a.client.syncNow();
  await until(() => b.client.status.quarantined === 2);
  assert.deepEqual(await kept(b), [["poison-sentinel", "a"], ["poison-sentinel", "b"]]);
  assert.deepEqual([await value(a.db, "SELECT count(*) FROM t"), await value(b.db, "SELECT count(*) FROM t")], [1, 0]);
  await a.db.exec("DELETE FROM t");
  await a.db.exec("INSERT INTO t VALUES (1, 'alive', 'alive')");
  await exchange(a, b);
  assert.deepEqual(await b.db.execA("SELECT * FROM t"), [[1, "alive", "alive"]]);
  await stop(a, b);
});

test("limit: a column whose version is at its bound is kept aside by others when it changes once more", async () => {
  const { relay, a, b } = await pair(T);
  relay.inject(push([row({ val: "last", col_version: 2 ** 52 - 1 })]));
  await until(async () => (await value(a.db, "SELECT a FROM t")) === "last" && (await value(b.db, "SELECT a FROM t")) === "last");
  await a.db.exec("UPDATE t SET a = 'too late', b = 'in time'");
  await until(() => b.client.status.quarantined === 1);
  assert.deepEqual(await kept(b), [["version-out-of-range", "a"]]);
  await until(async () => (await value(b.db, "SELECT b FROM t")) === "in time");
  assert.deepEqual(await b.db.execA("SELECT a FROM t"), [["last"]]);
  await a.db.exec("DELETE FROM t");
  await a.db.exec("INSERT INTO t VALUES (1, 'made again', NULL)");
  await settled(a, b);
  await stop(a, b);
});

test("limit: a database whose first opening was cut off may never open again, and one that was opened once always does", async () => {
  const close = async (db) => db.close();
  const opens = (name) => open(name).then(close).then(() => true, () => false);
  const copies = async (moments, prefix) => {
    const opened = [];
    for (const [index, blocks] of moments.entries()) {
      const name = `${prefix}-${index}.db`;
      await restore(name, blocks.map((block) => ({ ...block, path: `/${name}` })));
      opened.push(await opens(name));
    }
    return opened;
  };
  // cr-sqlite makes its tables and fills them in transactions of their own.
  const first = await commits("made.db", async () => close(await open("made.db")));
  const made = await copies(first, "half-made");
  assert.ok(made.includes(false) && made.at(-1), JSON.stringify(made));

  const later = await commits("made.db", async () => {
    const db = await open("made.db");
    for (const sql of [...T, "SELECT crsql_as_crr('main', 't')", "INSERT INTO t VALUES (1, 2, 3)"]) await db.exec(sql);
    await close(db);
  });
  assert.ok(later.length > 2);
  const whole = later.map((blocks) => [...new Map([...first.at(-1), ...blocks].map((block) => [`${block.offset} ${block.version}`, block])).values()]);
  assert.ok((await copies(whole, "whole")).every(Boolean));
});
