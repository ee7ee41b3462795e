// Two devices over the real relay when it stores nothing: it only passes on what they say.
import assert from "node:assert/strict";
import { test } from "node:test";
import { device, exact, exchange, settled, until } from "./harness.mjs";
import { storingRelay } from "./storing.mjs";

const T = ["CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, a, b)"];

test("two devices become equal over a relay that stores nothing, and another user's hears nothing", async (t) => {
  const relay = await storingRelay({ args: ["--no-store"] });
  t.after(() => relay.stop());
  const make = async (user) => device(null, T, { transport: await relay.transport(user), start: false });
  const [a, b, stranger] = [await make("alice"), await make("alice"), await make("bob")];
  await a.db.exec("INSERT INTO t VALUES (1, 'before', 5.0), (2, 'both', x'00FF')");
  await b.db.exec("INSERT INTO t VALUES (3, 'of b', 9223372036854775807)");
  for (const { client } of [a, b, stranger]) await client.start();
  await settled(a, b);

  await a.db.exec("UPDATE t SET a = 'live' WHERE id = 1");
  await b.db.exec("DELETE FROM t WHERE id = 2");
  await exchange(a, b);
  assert.deepEqual(await exact(a.db, "t"), await exact(b.db, "t"));
  assert.deepEqual(await a.db.execA("SELECT id, a FROM t ORDER BY id"), [[1, "live"], [3, "of b"]]);

  // What is written while nobody else is there waits on the device, not on the relay.
  await a.client.stop();
  await b.db.exec("INSERT INTO t VALUES (4, 'alone', NULL)");
  await b.client.waitForSynced({ level: "sent" });
  await a.client.start();
  await until(async () => (await a.db.execA("SELECT a FROM t WHERE id = 4"))?.length === 1, "the late device asks for it");
  await settled(a, b);
  assert.deepEqual(await stranger.db.execA("SELECT * FROM t") ?? [], []);
  assert.deepEqual([...a.errors, ...b.errors, ...stranger.errors], []);
  for (const { client } of [a, b, stranger]) await client.stop();
});
