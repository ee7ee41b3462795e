// The traps of cr-sqlite 0.16.0 that a log could fall into, with the real package and the real relay: a device that begins
// with the log holds what the devices hold that wrote it.
import assert from "node:assert/strict";
import { device, exact, PlainRelay, settled, until } from "./harness.mjs";
import { storingRelay } from "./storing.mjs";
import { trap } from "./trap.mjs";

const stop = (...devices) => Promise.all(devices.map(({ client }) => client.stop()));
const plain = new PlainRelay();

/** Runs with a relay of its own; `join(schema)` makes a device on it that was not started yet. */
async function logged(body) {
  const relay = await storingRelay();
  const join = async (schema) => device(plain, schema, { transport: await relay.transport("somebody"), start: false });
  await body(join).finally(() => relay.stop());
}

trap("A15: columns that a revival zeroes reach the log whose own message has zeroed them", ["zeroed-rows"], () =>
  logged(async (join) => {
    const T = ["CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, a, b)"];
    const a = await join(T);
    const old = await join(["CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, a)"]);
    await a.client.start();
    await old.client.start();
    await a.db.exec("INSERT INTO t VALUES (1, 'one', 'uno')");
    // Forwarded and answered at once, the row is kept aside once from each.
    await until(() => old.client.status.quarantined > 0);
    // In one go: whoever hears of the deletion alone has nothing left that could come back.
    await old.db.tx(async (tx) => {
      await tx.exec("DELETE FROM t");
      await tx.exec("INSERT INTO t VALUES (1, 'again')");
    });
    await until(async () => (await a.db.execA("SELECT a FROM t"))?.[0]?.[0] === "again");
    await stop(old);
    await a.client.waitForSynced();
    await stop(a);
    assert.deepEqual(await a.db.execA("SELECT * FROM t"), [[1, "again", "uno"]]);
    const c = await join(T);
    await c.client.start();
    await settled(a, c);
    assert.deepEqual(await c.db.execA("SELECT * FROM t"), [[1, "again", "uno"]]);
    await stop(c);
  }));

trap("A19: a new device gets the row that was made again, and nothing of the one that was deleted", ["compact-by-row"], () =>
  logged(async (join) => {
    const T = ["CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, a, b)"];
    const a = await join(T);
    await a.client.start();
    await a.db.exec("INSERT INTO t VALUES (1, 'deleted', 'deleted'), (2, 'gone', 'gone')");
    for (let i = 0; i < 3; i++) await a.db.exec("UPDATE t SET a = a || '!'");
    await a.client.waitForSynced();
    await a.db.exec("DELETE FROM t");
    await a.client.waitForSynced();
    await a.db.exec("INSERT INTO t (id, a) VALUES (1, 'again')");
    await a.client.waitForSynced();
    await a.client.stop();
    const b = await join(T);
    await b.client.start();
    await settled(a, b);
    assert.deepEqual(await b.db.execA("SELECT * FROM t"), [[1, "again", null]]);
    await stop(b);
  }));

trap("A20: of a tie a new device takes what the devices took, which know the column", ["keep-ties"], () =>
  logged(async (join) => {
    const known = ["CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, r REAL)"];
    // A device whose schema says nothing of the column: by its type, which is all that a log sees, its value is larger.
    const a = await join(["CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, r)"]);
    await a.db.exec("INSERT INTO t VALUES (1, 5)");
    const b = await join(known);
    await b.db.exec("INSERT INTO t VALUES (1, 7.5)");
    await a.client.start();
    await a.client.waitForSynced();
    await a.client.stop();
    await b.client.start();
    await b.client.waitForSynced();
    await b.client.stop();
    const c = await join(known);
    await c.client.start();
    await settled(b, c);
    assert.deepEqual(await c.db.execA("SELECT r FROM t"), [[7.5]]);
    assert.deepEqual(await exact(b.db, "t"), await exact(c.db, "t"));
    await stop(c);
  }));
