// The traps of cr-sqlite 0.16.0 that an app sets without knowing, each against the real package: a schema that lags
// behind, and a transaction of its own on our connection.
import assert from "node:assert/strict";
import { exchange, pair, settled, until } from "./harness.mjs";
import { push, row } from "./stranger.mjs";
import { trap } from "./trap.mjs";

const T = ["CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, a, b)"];
const stop = (...devices) => Promise.all(devices.map(({ client }) => client.stop()));
const value = async (db, sql) => (await db.execA(sql))[0]?.[0];

trap("A12: rows of a table that is not here yet wait and are taken when it is", ["quarantine", "quarantine-retry"], async () => {
  const { relay, a, b } = await pair(T);
  relay.inject(push([row({ table: "later", cid: "v", val: 5 })]));
  await until(() => a.client.status.quarantined === 1);
  assert.deepEqual((await a.client.quarantine()).map(({ code }) => code), ["unknown-table"]);
  await a.db.exec("CREATE TABLE later (id INTEGER PRIMARY KEY NOT NULL, v)");
  await a.db.exec("SELECT crsql_as_crr('main', 'later')");
  await a.client.syncNow();
  await until(() => a.client.status.quarantined === 0);
  assert.deepEqual(await a.db.execA("SELECT * FROM later"), [[1, 5]]);
  await stop(a, b);
});

trap("A12: values of a column that is not here yet wait and are taken when it is", ["quarantine-retry"], async () => {
  const { a, b } = await pair(T);
  const alter = async ({ db }) => {
    await db.exec("SELECT crsql_begin_alter('t')");
    await db.exec("ALTER TABLE t ADD COLUMN c TEXT DEFAULT NULL");
    await db.exec("SELECT crsql_commit_alter('t')");
  };
  await alter(a);
  await a.db.exec("INSERT INTO t VALUES (1, 'one', 'uno', 'un')");
  await a.client.waitForSynced({ level: "sent" });
  await until(() => b.client.status.quarantined === 1);
  assert.deepEqual(await b.db.execA("SELECT * FROM t"), [[1, "one", "uno"]]);
  await alter(b);
  await b.client.syncNow();
  await settled(a, b);
  assert.deepEqual(await b.db.execA("SELECT * FROM t"), [[1, "one", "uno", "un"]]);
  assert.equal(b.client.status.quarantined, 0);
  await stop(a, b);
});

trap("A18: nothing is read or applied while the app holds a transaction of its own open", ["app-transaction"], async () => {
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
