// A relay that is put back to an old backup while its clients are connected: what it had acknowledged since then comes
// back to it from them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { device, exact, settled, until } from "./harness.mjs";
import { storingRelay } from "./storing.mjs";

const T = ["CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, a, b)"];

test("everything that was acknowledged after the backup comes back from connected clients", async (t) => {
  const relay = await storingRelay();
  t.after(() => relay.stop());
  const make = async () => device(null, T, { transport: await relay.transport("alice") });
  const [a, b] = [await make(), await make()];
  await a.db.exec("INSERT INTO t VALUES (1, 'in the backup', 1), (2, 'deleted since', 2)");
  await a.client.waitForSynced({ level: "stored" });
  await settled(a, b);
  await relay.backup();

  await a.db.exec("INSERT INTO t VALUES (3, 'of a, since', 3)");
  await a.db.exec("DELETE FROM t WHERE id = 2");
  await b.db.exec("UPDATE t SET a = 'changed since' WHERE id = 1");
  await b.db.exec("INSERT INTO t VALUES (4, 'of b, since', 4)");
  await Promise.all([a, b].map(({ client }) => client.waitForSynced({ level: "stored" })));
  await settled(a, b);
  const expected = await exact(a.db, "t");

  await relay.restore();
  // Whoever is new has only the relay to ask.
  const late = await make();
  await until(async () => JSON.stringify(await exact(late.db, "t")) === JSON.stringify(expected), "the log is whole again").catch(async (error) => {
    throw new Error(`${error.message}: ${JSON.stringify(await exact(late.db, "t"))}`);
  });
  assert.deepEqual(await exact(a.db, "t"), expected);
  assert.deepEqual([...a.errors, ...b.errors, ...late.errors].filter(({ retryable }) => !retryable), []);
  await Promise.all([a, b, late].map(({ client }) => client.stop()));
});
