// SyncClient over HttpTransport and WsTransport on servers that behave: every way to ask, together and mixed.
// What goes wrong on the way is in push-pull-outages.test.mjs.
import assert from "node:assert/strict";
import { test } from "node:test";
import { exact, until } from "./harness.mjs";
import { alike, NOTES, over, serve, started, stop } from "./served.mjs";

const PAIRS = [
  ["POST", "POST"],
  ["GET", "GET"],
  ["WS", "WS"],
  ["POST", "WS"],
  ["GET", "POST"],
];

for (const [reference, pairs] of [[false, PAIRS], [true, PAIRS.filter((pair) => !pair.includes("GET"))]]) {
  for (const [one, other] of pairs) {
    const where = reference ? "the reference server" : "a server of the contract";
    test(`${one} and ${other} keep two databases in step by themselves on ${where}`, async () => {
      const server = await serve({ reference, pageSize: 5 });
      // Where the server tells its news, nobody has to ask for it.
      const told = (kind) => (kind === "WS" && !reference ? { pullIntervalMs: 0 } : {});
      const [a, b] = [await started(over[one](server), told(one)), await started(over[other](server), told(other))];
      for (const { client } of [a, b]) await client.waitForFirstSync();
      await a.db.exec("INSERT INTO notes VALUES (1, 'one', 1.5), (2, 'two', 2.5), (3, 'three', NULL)");
      await b.db.exec("INSERT INTO notes VALUES (4, 'four', 4.5), (5, 'five', 5)");
      assert.equal((await alike(a, b)).length, 10);

      // The same cell on both sides, a key that moves, rows that go, and one that goes here and is changed there.
      await Promise.all([
        a.db.exec("UPDATE notes SET body = 'left' WHERE id = 1"),
        b.db.exec("UPDATE notes SET body = 'right' WHERE id = 1"),
        a.db.exec("UPDATE notes SET id = 6 WHERE id = 2"),
        b.db.exec("DELETE FROM notes WHERE id = 3"),
        a.db.exec("DELETE FROM notes WHERE id = 4"),
        b.db.exec("UPDATE notes SET body = 'changed' WHERE id = 4"),
      ]);
      await alike(a, b);
      const ids = async ({ db }) => (await db.execA("SELECT id FROM notes ORDER BY id")).flat();
      assert.deepEqual(await ids(a), [1, 5, 6]);
      assert.deepEqual(await exact(a.db, "notes"), await exact(b.db, "notes"));

      // And back again, in one device's name.
      await b.db.exec("INSERT INTO notes VALUES (3, 'again', 3.5)");
      await alike(a, b);
      assert.deepEqual(await ids(a), [1, 3, 5, 6]);
      assert.deepEqual([...a.errors, ...b.errors], []);
      await stop(a, b);

      const asked = new Set(server.requests);
      assert.equal(asked.has("GET /sync/pull"), [one, other].includes("GET"));
      assert.equal(asked.has("POST /sync/pull"), [one, other].includes("POST"));
      assert.equal(asked.has("ws pull"), [one, other].includes("WS"));
      assert.equal(new Set(server.store.changes.map(({ id }) => id)).size, server.store.changes.length);
    });
  }
}

const VALUES = [
  "NULL", "0", "-1", "9007199254740991", "9007199254740992", "-9007199254740993", "9223372036854775807", "-9223372036854775807 - 1",
  "5.0", "-0.0", "0.1", "1e300", "5e-324", "9e999", "-9e999", "''", "'5'", "'a' || char(0) || 'b'", "char(0)", "'æøå 😀'",
  "CAST(x'61ff' AS TEXT)", "CAST(x'eda080' AS TEXT)", "x''", "x'00ff'", "zeroblob(5000)", "'{\"$int\":\"1\"}'", "'null'",
];

for (const [kind, reference] of [["POST", false], ["GET", false], ["WS", false], ["POST", true]]) {
  test(`every value is the same bit by bit after ${kind}${reference ? " to the reference server" : ""}`, async () => {
    const server = await serve({ reference });
    const schema = ["CREATE TABLE v (id TEXT PRIMARY KEY NOT NULL, untyped, r REAL, t TEXT)", "CREATE TABLE k (id PRIMARY KEY NOT NULL)"];
    const [a, b] = [await started(over[kind](server), { schema }), await started(over[kind](server), { schema })];
    for (const [index, value] of VALUES.entries()) {
      await a.db.exec(`INSERT INTO v VALUES ('${index}', ${value}, ${value}, ${value})`);
      // No key is NULL, and -0.0 is the key 0.
      if (!["NULL", "-0.0"].includes(value)) await a.db.exec(`INSERT INTO k VALUES (${value})`);
    }
    await alike(a, b);
    for (const [table, rows] of [["v", VALUES.length], ["k", VALUES.length - 2]]) {
      const sent = await exact(a.db, table);
      assert.equal(sent.length, rows);
      assert.deepEqual(await exact(b.db, table), sent);
    }
    await b.db.exec("UPDATE v SET t = untyped, untyped = 7.0, r = 7");
    await alike(a, b);
    assert.deepEqual(await exact(a.db, "v"), await exact(b.db, "v"));
    assert.deepEqual([...a.errors, ...b.errors], []);
    await stop(a, b);
  });
}

for (const [one, other] of [["POST", "WS"], ["GET", "GET"]]) {
  test(`a thousand rows of each side go by ${one} and ${other} in small batches, each once`, async () => {
    const server = await serve({ pageSize: 150 });
    const options = { batchChanges: 200 };
    const [a, b] = [await started(over[one](server), options), await started(over[other](server), options)];
    const fill = (db, from) => db.exec(`WITH RECURSIVE n(i) AS (SELECT ${from} UNION ALL SELECT i + 1 FROM n WHERE i < ${from + 999}) INSERT INTO notes SELECT i, 'note ' || i, i / 2.0 FROM n`);
    await Promise.all([fill(a.db, 1), fill(b.db, 5001)]);
    const changes = await alike(a, b);
    assert.equal(changes.length, 4000);
    assert.equal(server.store.changes.length, 4000, "nothing goes to the server that it has");
    assert.deepEqual([...a.errors, ...b.errors], []);
    for (const { client } of [a, b]) assert.equal(client.status.progress.sent, 2000);
    assert.ok(server.requests.filter((what) => what.endsWith("push")).length >= 20);
    assert.ok(server.requests.filter((what) => what.endsWith("pull")).length >= 26);
    await stop(a, b);
  });
}

for (const reference of [false, true]) {
  test(`tables limits what is sent and what is taken${reference ? ", also where the reference server knows no filter" : ""}`, async () => {
    const server = await serve({ reference, pageSize: 3 });
    const schema = [...NOTES, "CREATE TABLE secrets (id INTEGER PRIMARY KEY NOT NULL, body)"];
    const some = { schema, tables: ["notes"] };
    const [a, b, all] = [await started(over.POST(server), some), await started(over.WS(server), some), await started(over.POST(server), { schema })];
    await all.db.exec("INSERT INTO secrets VALUES (1, 'of all'), (2, 'of all'), (3, 'of all'), (4, 'of all')");
    await all.client.waitForSynced();
    await a.db.exec("INSERT INTO secrets VALUES (9, 'of a')");
    await a.db.exec("INSERT INTO notes VALUES (1, 'one', 1)");
    await b.db.exec("INSERT INTO notes VALUES (2, 'two', 2)");
    await all.db.exec("INSERT INTO notes VALUES (3, 'three', 3)");
    const notes = async ({ db }) => (await db.execA("SELECT id FROM notes ORDER BY id")).flat();
    for (const device of [a, b, all]) {
      await until(async () => String(await notes(device)) === "1,2,3", "the notes of all");
      await device.client.syncNow();
      await until(() => device.client.status.pendingChanges === 0, "nothing is pending", 3000);
      assert.deepEqual([await device.client.quarantine(), await device.client.rejected(), device.errors], [[], [], []]);
    }
    const secrets = async ({ db }) => (await db.execA("SELECT id FROM secrets ORDER BY id")).flat();
    assert.deepEqual([await secrets(a), await secrets(b), await secrets(all)], [[9], [], [1, 2, 3, 4]]);
    await stop(a, b, all);
  });
}
