// SyncClient, and an engine written against the contract's page, with the real relay over push-pull: HTTP and a socket, beside
// a device of the relay protocol on the same log.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Engine } from "../contract/engine.mjs";
import { device, exact, settled, until } from "./harness.mjs";
import { storingRelay } from "./storing.mjs";

const T = ["CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, a, b REAL, c TEXT)"];
const relays = new Set();
after(() => Promise.all([...relays].map((relay) => relay.stop())));

const serve = async () => {
  const relay = await storingRelay();
  relays.add(relay);
  return relay;
};

const start = async (transport, options = {}) => {
  const made = await device(null, T, { transport, start: false, pullIntervalMs: 200, ...options });
  await made.client.start();
  return made;
};
const stop = (...devices) => Promise.all(devices.map(({ client }) => client.stop()));
const alike = async (...devices) => {
  await Promise.all(devices.map(({ client }) => client.waitForSynced()));
  await settled(...devices);
};
const unspoilt = (...devices) => {
  for (const { client, errors } of devices) {
    assert.deepEqual([client.status.rejected, client.status.quarantined, errors.map(String)], [0, 0, []]);
  }
};

for (const kind of ["http", "ws"]) {
  test(`${kind}: two devices keep in step, whatever they wrote while they were away`, async () => {
    const relay = await serve();
    const [a, b] = [await device(null, T, { transport: await relay[kind]("alice"), start: false, pullIntervalMs: 200 }),
      await device(null, T, { transport: await relay[kind]("alice"), start: false, pullIntervalMs: 200 })];
    for (let id = 1; id <= 6; id++) await a.db.exec(`INSERT INTO t VALUES (${id}, ${id}, ${id}.0, 'x')`);
    await b.db.exec("INSERT INTO t VALUES (6, 'both', -0.0, char(0)), (7, 9223372036854775807, 9e999, 'y')");
    for (const { client } of [a, b]) await client.start();
    await alike(a, b);
    await b.db.exec("DELETE FROM t WHERE id = 1");
    await a.db.exec("UPDATE t SET id = 8 WHERE id = 2");
    await alike(a, b);
    await until(async () => JSON.stringify(await exact(a.db, "t")) === JSON.stringify(await exact(b.db, "t")));
    assert.equal((await exact(a.db, "t")).length, 6);
    unspoilt(a, b);
    const stranger = await start(await relay[kind]("bob"));
    await stranger.client.waitForSynced();
    assert.deepEqual(await exact(stranger.db, "t"), []);
    await stop(a, b, stranger);
  });

  test(`${kind}: a new device catches up with 5,000 rows`, async () => {
    const relay = await serve();
    const a = await start(await relay[kind]("alice"));
    const numbers = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 4999)";
    await a.db.exec(`INSERT INTO t (id, a) ${numbers} SELECT i, 'row ' || i FROM n`);
    await a.client.waitForSynced();
    const b = await start(await relay[kind]("alice"));
    await alike(a, b);
    assert.equal((await exact(b.db, "t")).length, 5_000);
    unspoilt(a, b);
    await stop(a, b);
  });

  test(`${kind}: a relay that is killed and started again loses nothing, and shows nothing twice`, async () => {
    const relay = await serve();
    const [a, b] = [await start(await relay[kind]("alice")), await start(await relay[kind]("alice"))];
    await a.db.exec("INSERT INTO t (id, a) VALUES (1, 'before'), (2, 'before')");
    await alike(a, b);
    await relay.halt();
    await a.db.exec("INSERT INTO t (id, a) VALUES (3, 'while it was away')");
    await relay.resume();
    await b.db.exec("INSERT INTO t (id, a) VALUES (4, 'after')");
    await alike(a, b);
    assert.equal((await exact(b.db, "t")).length, 4);
    for (const { errors } of [a, b]) assert.ok(errors.every(({ code }) => code !== "remote-reset"), errors.join("\n"));
    await stop(a, b);
  });

  test(`${kind}: what a restored backup has lost comes back from the devices`, async () => {
    const relay = await serve();
    const a = await start(await relay[kind]("alice"));
    await a.db.exec("INSERT INTO t (id, a) VALUES (1, 'old'), (2, 'old'), (3, 'old')");
    await alike(a);
    await a.client.syncNow();
    await relay.backup();
    await a.db.exec("INSERT INTO t (id, a) VALUES (4, 'new'), (5, 'new')");
    await a.client.waitForSynced();
    await a.client.syncNow();
    await relay.restore();
    await until(() => a.errors.some(({ code }) => code === "remote-reset"), "the client notices");
    const b = await start(await relay[kind]("alice"));
    await until(async () => (await exact(b.db, "t")).length === 5, "everything is there again");
    await alike(a, b);
    await stop(a, b);
  });

  test(`${kind}: a device of the relay protocol and one of the contract hear each other at once`, async () => {
    const relay = await serve();
    const quiet = { pullIntervalMs: kind === "ws" ? 3_600_000 : 100 };
    const [a, b] = [await start(await relay.transport("alice")), await start(await relay[kind]("alice"), quiet)];
    await alike(a, b);
    for (let id = 1; id <= 5; id++) {
      const [writer, reader] = id % 2 === 0 ? [a, b] : [b, a];
      await writer.db.exec(`INSERT INTO t VALUES (${id}, 'x', ${id}.0, 'y')`);
      await until(async () => (await exact(reader.db, "t")).length === id, `${id} arrives`, 5_000);
    }
    await a.db.exec("UPDATE t SET id = 9 WHERE id = 1");
    await b.db.exec("DELETE FROM t WHERE id = 2");
    await alike(a, b);
    assert.deepEqual((await exact(a.db, "t")).length, 4);
    unspoilt(a, b);
    await stop(a, b);
  });

  test(`${kind}: an engine of the contract keeps its own records there, beside the rows`, async () => {
    const relay = await serve();
    const rows = await start(await relay.transport("alice"));
    await rows.db.exec("INSERT INTO t (id, a) VALUES (1, 'a row')");
    await rows.client.waitForSynced();
    const [a, b] = [new Engine({ name: "a", transport: await relay[kind]("alice") }), new Engine({ name: "b", transport: await relay[kind]("alice") })];
    const own = ({ records }) => Object.fromEntries(Object.entries(records).filter(([name]) => name.startsWith("todos/")));
    const equal = () => JSON.stringify(own(a)) === JSON.stringify(own(b)) && a.queue.length + b.queue.length === 0;
    for (const engine of [a, b]) engine.start();
    for (let n = 0; n < 20; n++) a.write("todos", n, { text: `todo ${n}`, n });
    await until(() => equal() && Object.keys(own(b)).length === 20, "both have all");
    b.write("todos", 3, { text: "changed" });
    a.write("todos", 4, null);
    a.write("todos", "4", { text: "another name" });
    await until(() => equal() && own(a)["todos/3"].text === "changed", "both have the changes");
    assert.deepEqual(own(b)["todos/4"], { text: "another name" }, "the engine's map takes 4 and \"4\" for one");
    assert.deepEqual([...a.failed, ...b.failed], []);
    await rows.db.exec("INSERT INTO t (id, a) VALUES (2, 'another row')");
    await rows.client.waitForSynced();
    assert.equal(rows.client.status.state, "live");
    unspoilt(rows);
    await Promise.all([a.stop(), b.stop(), stop(rows)]);
  });
}

test("a conflict, a repeated push and pulls of every kind, in the words of the contract", async () => {
  const relay = await serve();
  const [post, get, socket] = [await relay.http("alice"), await relay.http("alice", { pullMethod: "GET" }), await relay.ws("alice")];
  await Promise.all([post, get, socket].map((transport) => transport.connect()));
  const change = (id, recordId, data, second, collection = "todos") => {
    const timestamp = new Date(Date.UTC(2026, 0, 1, 0, 0, second)).toISOString();
    const type = data === null ? "delete" : "update";
    return { id, collection, recordId, type, data, prevData: null, timestamp, status: "pending", retries: 0, errorMessage: null, createdAt: timestamp, updatedAt: timestamp };
  };
  const told = [];
  socket.onServerPush((changes) => told.push(...changes));
  const first = await post.push([change("c1", 1, { a: 1, b: 1 }, 5), change("n1", 1, { x: 1 }, 1, "notes")]);
  assert.deepEqual(first.accepted.map(({ id }) => id), ["c1", "n1"]);
  await until(() => told.length === 2, "the other connection is told");
  assert.deepEqual(await socket.push([change("c1", 1, { a: 1, b: 1 }, 5)]), { accepted: [first.accepted[0]], conflicts: [], errors: [] });
  const { conflicts: [conflict] } = await socket.push([change("c2", 1, { a: 2, b: 1 }, 4)]);
  assert.deepEqual(
    [conflict.changeId, conflict.recordId, conflict.local, conflict.remote, conflict.fieldConflicts],
    ["c2", 1, { a: 2, b: 1 }, { a: 1, b: 1 }, ["a"]],
  );
  await socket.push([change("c3", 1, null, 6)]);
  for (const transport of [post, get, socket]) {
    const { changes: [one], cursor, hasMore } = await transport.pull({ batchSize: 1 });
    assert.deepEqual([one.id, hasMore], ["n1", true]);
    const rest = await transport.pull({ cursor, batchSize: 10 });
    assert.deepEqual([rest.changes.map(({ id, type, data }) => [id, type, data]), rest.hasMore], [[["c3", "delete", null]], false]);
    const filtered = await transport.pull({ collections: ["notes"], batchSize: 1 });
    assert.deepEqual([filtered.changes.map(({ id }) => id), filtered.hasMore], [["n1"], false]);
    const end = await transport.pull({ cursor: rest.cursor });
    assert.deepEqual([end.changes, end.cursor, end.hasMore], [[], rest.cursor, false]);
  }
  const anonymous = await relay.http("alice", { headers: {} });
  await assert.rejects(anonymous.push([]), { status: 401 });
  await Promise.all([post, get, socket].map((transport) => transport.disconnect()));
});
