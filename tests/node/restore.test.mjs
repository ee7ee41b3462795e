// A relay that is put back to an old backup: what it had acknowledged since then comes back to it from its clients, also what
// only one of them has, whoever wrote it, and whatever has been stored since under the same offsets.
import assert from "node:assert/strict";
import { test } from "node:test";
import { device, exact, settled, until } from "./harness.mjs";
import { storingRelay } from "./storing.mjs";

const T = ["CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, a, b)", "CREATE TABLE tags (name TEXT PRIMARY KEY NOT NULL)"];

const stop = (...devices) => Promise.all(devices.map(({ client }) => client.stop()));
// Also asked for what comes after it: over push-pull a loss is noticed by the cursor, which a push does not move.
const stored = (...devices) =>
  Promise.all(devices.map(({ client }) => client.waitForSynced({ level: "stored" }).then(() => client.syncNow())));
const all = async ({ db }) => JSON.stringify([await exact(db, "t"), await exact(db, "tags")]);
const holds = (device, expected, what) =>
  until(async () => (await all(device)) === expected, what).catch(async (error) => {
    throw new Error(`${error.message}: ${await all(device)}, not ${expected}`);
  });
const unspoilt = (...devices) => {
  // A server of the contract that has lost something is told, and costs nothing.
  const lasting = devices.flatMap(({ errors }) => errors).filter(({ retryable, code }) => !retryable && code !== "remote-reset");
  assert.deepEqual(lasting.map(String), []);
  for (const { client } of devices) assert.deepEqual([client.status.rejected, client.status.quarantined], [0, 0]);
};

// Two of the devices over each protocol, and over both.
const ways = { "the relay protocol": ["transport", "transport"], HTTP: ["http", "http"], sockets: ["ws", "ws"], "both protocols": ["http", "transport"] };

for (const [over, kinds] of Object.entries(ways)) {
  const serve = async (t) => {
    const relay = await storingRelay();
    t.after(() => relay.stop());
    const make = async (kind) => {
      const options = kind === "transport" ? {} : { pullIntervalMs: 200 };
      const made = await device(null, T, { transport: await relay[kind]("alice"), start: false, ...options });
      await made.client.start();
      return made;
    };
    return { relay, make };
  };

  test(`${over}: everything that was acknowledged after the backup comes back from connected clients`, async (t) => {
    const { relay, make } = await serve(t);
    const [a, b] = [await make(kinds[0]), await make(kinds[1])];
    await a.db.exec("INSERT INTO t VALUES (1, 'in the backup', 1), (2, 'deleted since', 2), (5, 'moved since', 5)");
    await stored(a);
    await settled(a, b);
    await relay.backup();

    await a.db.exec("INSERT INTO t VALUES (3, 'of a, since', 3)");
    await a.db.exec("DELETE FROM t WHERE id = 2");
    await b.db.exec("UPDATE t SET a = 'changed since' WHERE id = 1");
    await b.db.exec("UPDATE t SET id = 6 WHERE id = 5");
    await b.db.exec("INSERT INTO t VALUES (4, 'of b, since', 4)");
    await b.db.exec("INSERT INTO tags VALUES ('since')");
    await stored(a, b);
    await settled(a, b);
    const expected = await all(a);

    await relay.restore();
    // Whoever is new has only the relay to ask.
    const late = await make(kinds[0]);
    await holds(late, expected, "the log is whole again");
    assert.equal(await all(a), expected);
    unspoilt(a, b, late);
    await stop(a, b, late);
  });

  test(`${over}: what only one client has comes back, also where somebody else wrote it who is gone`, async (t) => {
    const { relay, make } = await serve(t);
    const gone = await make(kinds[0]);
    const keeper = await make(kinds[1]);
    await gone.db.exec("INSERT INTO t VALUES (1, 'in the backup', 1)");
    await stored(gone);
    await settled(gone, keeper);
    await relay.backup();
    await gone.db.exec("INSERT INTO t VALUES (2, 'of the one that is gone', 2)");
    await gone.db.exec("UPDATE t SET id = 3 WHERE id = 1");
    await stored(gone);
    await settled(gone, keeper);
    await stop(gone);
    // And what nobody has received yet but the relay.
    await keeper.db.exec("INSERT INTO t VALUES (4, 'of the keeper', 4)");
    await stored(keeper);
    const expected = await all(keeper);

    await relay.restore();
    const late = await make(kinds[0]);
    await holds(late, expected, "the keeper gives back what it has");
    unspoilt(gone, keeper, late);
    await stop(keeper, late);
  });

  test(`${over}: offsets that were given anew before anybody came back hide nothing`, async (t) => {
    const { relay, make } = await serve(t);
    const [a, b] = [await make(kinds[0]), await make(kinds[1])];
    await a.db.exec("INSERT INTO t VALUES (1, 'in the backup', 1)");
    await stored(a);
    await settled(a, b);
    await relay.backup();
    await a.db.exec("INSERT INTO t VALUES (2, 'of a, since', 2), (3, 'of a, since', 3)");
    await stored(a);
    await settled(a, b);
    await stop(a, b);

    await relay.restore();
    const first = await make(kinds[1]);
    await first.db.exec("INSERT INTO t VALUES (10, 'under the old offsets', 10), (11, 'and more', 11), (12, 'and more', 12)");
    await first.db.exec("UPDATE t SET a = 'changed under the old offsets' WHERE id = 1");
    await stored(first);
    for (const { client } of [b, a]) await client.start();
    await stored(a, b);
    await settled(a, b, first);
    const expected = await all(a);
    assert.equal((await a.db.execA("SELECT id FROM t")).length, 6);
    const late = await make(kinds[0]);
    await holds(late, expected, "nothing is hidden from a new device");
    unspoilt(a, b, first, late);
    await stop(a, b, first, late);
  });
}
