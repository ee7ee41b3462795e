// The traps of cr-sqlite 0.16.0 around what has to travel together, each against the real package: columns that keep an
// old version or another author arrive with the row that they belong to.
import assert from "node:assert/strict";
import { device, exact, exchange, pair, PlainRelay, settled, until } from "./harness.mjs";
import { push, row } from "./stranger.mjs";
import { trap } from "./trap.mjs";

const T = ["CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, a, b)"];
const stop = (...devices) => Promise.all(devices.map(({ client }) => client.stop()));
const value = async (db, sql) => (await db.execA(sql))[0]?.[0];

trap("A5: a changed key brings its moved columns to a device that follows", ["additions"], async () => {
  const { a, b } = await pair(T);
  await a.db.exec("INSERT INTO t VALUES (1, 'one', 'uno')");
  await exchange(a, b);
  await a.db.exec("UPDATE t SET id = 2");
  await exchange(a, b);
  assert.deepEqual(await b.db.execA("SELECT * FROM t"), [[2, "one", "uno"]]);
  await stop(a, b);
});

trap("A5: a changed key brings its moved columns to a device that was away", ["additions-in-answers"], async () => {
  const { a, b } = await pair(T);
  await a.db.exec("INSERT INTO t VALUES (1, 'one', 'uno')");
  await exchange(a, b);
  // Once more, so that b's cursor comes from an answer and covers the old columns.
  b.transport.cut();
  b.transport.connect();
  await b.client.syncNow();
  b.transport.cut();
  await a.db.exec("UPDATE t SET id = 2");
  await a.client.waitForSynced({ level: "sent" });
  b.transport.connect();
  await settled(a, b);
  assert.deepEqual(await b.db.execA("SELECT * FROM t"), [[2, "one", "uno"]]);
  await stop(a, b);
});

trap("A14: a key that one device changes of a row that another wrote brings that other's columns along", ["additions-of-any-origin"], async () => {
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

trap("A15: columns that a revival zeroes on an older schema still travel, whoever wrote them", ["zeroed-rows"], async () => {
  const { relay, a, b } = await pair(T);
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
