// What the app writes: how it is noticed, how much is said of it, and what is never said.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { device, exact, exchange, open, openWith, pair, PlainRelay, settled, until } from "./harness.mjs";
import { storingRelay } from "./storing.mjs";
import { push, row } from "./stranger.mjs";

const T = ["CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, a, b)"];
const stop = (...devices) => Promise.all(devices.map(({ client }) => client.stop()));
const pushes = (relay, from) => relay.frames.filter((frame) => frame.type === "sync_push" && frame.from === from.transport.name);
const rowsOf = (frames) => frames.flatMap(({ payload }) => payload.changes);
/** Long enough for whatever would be said to be said; the poll alone is slower. */
const quiet = () => new Promise((wake) => setTimeout(wake, 600));

const relays = [];
after(() => Promise.all(relays.map((relay) => relay.stop())));

// ----------------------------------------------------------------------------------------------- bursts

test("a thousand writes in a row are a few pushes", async () => {
  const { relay, a, b } = await pair(T);
  await exchange(a, b);
  const before = pushes(relay, a).length;
  const began = Date.now();
  for (let id = 0; id < 1000; id++) await a.db.exec(`INSERT INTO t VALUES (${id}, 'x', 'y')`);
  const took = Date.now() - began;
  await exchange(a, b);
  const sent = pushes(relay, a).slice(before);
  assert.equal((await exact(b.db, "t")).length, 1000);
  // One for each span of time in which writes are gathered, however many there are of them.
  assert.ok(sent.length <= 3 + took / 25, `${sent.length} pushes in ${took} ms`);
  assert.ok(sent.length < 200, `${sent.length} pushes`);
  assert.equal(rowsOf(sent).length, 2000);
  await stop(a, b);
});

test("a thousand writes in one go are one push", async () => {
  const { relay, a, b } = await pair(T);
  await exchange(a, b);
  const before = pushes(relay, a).length;
  await a.db.tx(async (tx) => {
    for (let id = 0; id < 1000; id++) await tx.exec(`INSERT INTO t VALUES (${id}, 'x', 'y')`);
  });
  await exchange(a, b);
  assert.deepEqual(pushes(relay, a).slice(before).map(({ payload }) => payload.changes.length), [2000]);
  await stop(a, b);
});

test("a write takes one transaction to be sent and one to be booked, and none to see that nothing is left", async () => {
  const relay = await storingRelay();
  relays.push(relay);
  const a = await device(relay, T, { transport: await relay.transport("costs"), multiTab: false });
  const { db } = a;
  let transactions = 0;
  const lend = db.imperativeTx.bind(db);
  db.imperativeTx = () => ((transactions += 1), lend());
  await until(() => a.client.status.state === "live");
  const taken = [];
  for (let id = 1; id <= 3; id += 1) {
    await quiet();
    transactions = 0;
    await db.exec(`INSERT INTO t VALUES (${id}, 'x', 'y')`);
    await until(() => a.client.status.pendingChanges === 0);
    await quiet();
    taken.push(transactions);
  }
  // The regular look at the database may fall into one of them.
  assert.equal(Math.min(...taken), 2, taken.join(", "));
  await stop(a);
});

test("writes to tables that are not replicated are no news for anybody", async () => {
  const all = await tabs("local-private.db", [...T, "CREATE TABLE seen (id INTEGER PRIMARY KEY)"], ["t"]);
  const before = pushes(all.relay, all.first).length;
  await all.second.db.exec("INSERT INTO seen VALUES (1)");
  await all.first.db.exec("INSERT INTO seen VALUES (2)");
  await quiet();
  assert.deepEqual(pushes(all.relay, all.first).slice(before), []);
  assert.deepEqual([all.first.applied, all.second.applied], [[], []]);
  await closeTabs(all);
});

// ------------------------------------------------------------------------------- the app's transaction

test("while the app's transaction is open nothing is read, applied or sent, and everything right after", async () => {
  const { relay, a, b } = await pair(T);
  await a.db.exec("INSERT INTO t VALUES (1, 'before', NULL)");
  await exchange(a, b);
  for (const [end, id, left] of [["COMMIT", 10, 4], ["ROLLBACK", 20, 6]]) {
    await a.db.exec("BEGIN");
    await a.db.exec(`INSERT INTO t VALUES (${id}, 'in between', NULL)`);
    // All that this device says from here on.
    const before = relay.frames.length;
    const said = () => relay.frames.slice(before).filter(({ from }) => from === a.transport.name);
    await b.db.exec(`INSERT INTO t VALUES (${id + 1}, 'elsewhere', NULL)`);
    const c = await device(relay, T);
    await c.db.exec(`INSERT INTO t VALUES (${id + 2}, 'a new device', NULL)`);
    const heard = a.applied.length;
    await settled(b, c);
    await quiet();
    assert.deepEqual(said(), []);
    assert.equal(a.applied.length, heard);
    assert.deepEqual(await a.db.execA(`SELECT id FROM t WHERE id >= ${id} /* in the transaction */`), [[id]]);
    // Something, and no number: what is not committed is not counted.
    assert.equal(a.client.status.pendingChanges, 1);
    await a.db.exec(end);
    const ended = Date.now();
    await until(() => said().length > 0);
    await settled(a, b, c);
    assert.ok(Date.now() - ended < 3000, `it took ${Date.now() - ended} ms`);
    assert.equal((await exact(a.db, "t")).length, left);
    await stop(c);
  }
  await stop(a, b);
});

test("a client that starts inside the app's transaction waits for its end", async () => {
  const { relay, a, b } = await pair(T, { start: false });
  await a.db.exec("BEGIN");
  await a.db.exec("INSERT INTO t VALUES (1, 'early', NULL)");
  await Promise.all([a.client.start(), b.client.start()]);
  await quiet();
  assert.deepEqual(rowsOf(pushes(relay, a)), []);
  assert.deepEqual(await a.db.execA("SELECT name FROM sqlite_master WHERE name LIKE 'crsqlite_sync%'"), []);
  await a.db.exec("COMMIT");
  await exchange(a, b);
  assert.deepEqual(await b.db.execA("SELECT id, a FROM t"), [[1, "early"]]);
  await stop(a, b);
});

// ------------------------------------------------------------------------------------ rolled-back work

const undone = {
  "a transaction": async (db) => {
    await db.exec("BEGIN");
    await db.exec("INSERT INTO t VALUES (2, 'never', NULL)");
    await new Promise((wake) => setTimeout(wake, 100));
    await db.exec("ROLLBACK");
  },
  "a savepoint, as db.tx makes them": (db) =>
    db.tx(async (tx) => {
      await tx.exec("INSERT INTO t VALUES (2, 'never', NULL)");
      await tx.exec("UPDATE t SET a = 'never'");
      throw new Error("changed my mind");
    }).catch(() => {}),
  "a statement that fails half-way": (db) =>
    db.exec("INSERT INTO t SELECT 3, 'never', NULL UNION ALL SELECT 1, 'a key that is taken', NULL").catch(() => {}),
};

for (const [what, undo] of Object.entries(undone)) {
  test(`nobody hears of work that was rolled back: ${what}`, async () => {
    const all = await tabs(`local-undone-${what.length}.db`);
    await all.first.db.exec("INSERT INTO t VALUES (1, 'here', NULL)");
    await settled(all.first, all.elsewhere);
    await until(() => all.second.applied.length === 1);
    const frames = all.relay.frames.length;
    const pending = [];
    for (const { client } of [all.first, all.second]) client.on("status", ({ pendingChanges }) => pending.push(pendingChanges));
    await undo(all.first.db);
    await quiet();
    // In the tab that follows too. Not with a transaction that is left open: two connections of one module share a mutex,
    // and the other one, waiting for the file, would keep this one from ever ending it.
    if (what !== "a transaction") await undo(all.second.db);
    await quiet();
    assert.deepEqual(all.relay.frames.slice(frames).filter(({ payload }) => payload.changes?.length > 0), []);
    // "Something" until it was looked at, never its number: each of these works wrote two changes or more.
    assert.ok(pending.every((count) => count <= 1) && pending.at(-1) === 0, `pending: ${pending}`);
    assert.deepEqual([all.first.applied, all.second.applied.length], [[], 1]);
    // And what is kept after it is news.
    await all.second.db.exec("INSERT INTO t VALUES (9, 'kept', NULL)");
    await until(() => all.first.applied.length === 1);
    await settled(all.first, all.elsewhere);
    assert.deepEqual(await all.elsewhere.db.execA("SELECT id FROM t"), [[1], [9]]);
    await closeTabs(all);
  });
}

test("another tab hears of a long transaction when it ends, and not before", async () => {
  const all = await tabs("local-long.db");
  await all.first.db.exec("BEGIN");
  await all.first.db.exec("INSERT INTO t VALUES (1, 'first', NULL)");
  await quiet();
  assert.deepEqual(all.second.applied, []);
  await all.first.db.exec("COMMIT");
  await until(() => all.second.applied.length > 0);
  assert.deepEqual(all.second.applied.map(({ source, tables }) => [source, tables]), [["tab", { t: [] }]]);
  await closeTabs(all);
});

// -------------------------------------------------------------------------------- what nobody has told

test("what was written before the start is pending at once and sent", async () => {
  const { a, b } = await pair(T, { start: false });
  await a.db.exec("INSERT INTO t VALUES (1, 'early', 'bird')");
  await a.client.start();
  await until(() => a.client.status.pendingChanges === 2);
  await b.client.start();
  await settled(a, b);
  await until(() => a.client.status.pendingChanges === 0);
  await stop(a, b);
});

test("what another connection writes is found by looking now and then", async () => {
  const relay = new PlainRelay();
  const name = "local-other.db";
  const a = await device(relay, T, { name });
  const b = await device(relay, T);
  await exchange(a, b);
  // What is found later was not read along with something else.
  await until(() => a.client.status.state === "live");
  await quiet();
  const other = await open(name);
  await other.exec("INSERT INTO t VALUES (1, 'behind your back', NULL)");
  await settled(a, b);
  assert.deepEqual(await b.db.execA("SELECT a FROM t"), [["behind your back"]]);
  await stop(a, b);
  await other.close();
  await a.db.close();
});

test("writes of which SQLite's hook says nothing are found too", async () => {
  const schema = ["CREATE TABLE w (id TEXT PRIMARY KEY NOT NULL, a) WITHOUT ROWID"];
  const { a, b } = await pair(schema);
  await a.db.exec("INSERT INTO w VALUES ('x', 1)");
  await exchange(a, b);
  await until(() => a.client.status.state === "live");
  await quiet();
  let heard = 0;
  a.db.onUpdate(() => (heard += 1));
  await a.db.exec("UPDATE w SET a = 2");
  assert.equal(heard, 0, "the hook does speak of it");
  await settled(a, b);
  assert.deepEqual(await b.db.execA("SELECT a FROM w"), [[2]]);
  await stop(a, b);
});

// ------------------------------------------------------------------------------------------- tables

const BOTH = [...T, "CREATE TABLE secret (id INTEGER PRIMARY KEY NOT NULL, a)"];

const overPlain = async () => {
  const relay = new PlainRelay();
  return () => relay.transport();
};
const overStoring = async () => {
  const relay = await storingRelay();
  relays.push(relay);
  return () => relay.transport("somebody");
};

for (const [over, remote] of [["a plain relay", overPlain], ["a relay that stores", overStoring]]) {
  test(`tables limit what is sent and applied over ${over}, and a table that joins them later comes whole`, async () => {
    const connect = await remote();
    const level = over === "a plain relay" ? "sent" : "stored";
    const a = await device(null, BOTH, { transport: await connect(), tables: ["t"] });
    const b = await device(null, BOTH, { transport: await connect() });
    await a.db.exec("INSERT INTO secret VALUES (1, 'mine')");
    await a.db.exec("INSERT INTO t VALUES (1, 'ours', NULL)");
    await b.db.exec("INSERT INTO secret VALUES (2, 'theirs')");
    await b.db.exec("INSERT INTO t VALUES (2, 'ours too', NULL)");
    for (const { client } of [a, b]) await client.waitForSynced({ level });
    await until(async () => (await exact(a.db, "t")).length === 2 && (await exact(b.db, "t")).length === 2);
    assert.deepEqual([await a.db.execA("SELECT a FROM secret"), await b.db.execA("SELECT a FROM secret")], [[["mine"]], [["theirs"]]]);
    await until(() => a.client.status.pendingChanges === 0, "nothing is pending", 3000);
    assert.equal(a.client.status.quarantined, 0);
    // Cursors are past the rows that were left out: what pushes have brought is asked for once more.
    await a.client.syncNow();
    await b.client.syncNow();
    await a.client.stop();
    const grown = await device(null, [], { db: a.db, transport: await connect(), tables: ["t", "secret"] });
    await settled(grown, b);
    assert.deepEqual(await exact(a.db, "secret"), await exact(b.db, "secret"));
    assert.equal((await exact(b.db, "secret")).length, 2);
    // Not because somebody has noticed at last that replicas differ.
    assert.deepEqual([a.errors, grown.errors, b.errors], [[], [], []]);
    await stop(grown, b);
  });
}

test("changes of a table outside tables are not pending, and a stranger's rows of it are passed over", async () => {
  const relay = new PlainRelay();
  const a = await device(relay, BOTH, { tables: ["t"] });
  a.transport.cut();
  const pending = [];
  a.client.on("status", ({ pendingChanges }) => pending.push(pendingChanges));
  await a.db.exec("INSERT INTO secret VALUES (1, 'mine')");
  await a.db.exec("INSERT INTO t VALUES (1, 'x', 'y')");
  await until(() => a.client.status.pendingChanges === 2);
  assert.equal(Math.max(...pending), 2);
  await a.transport.connect();
  relay.inject(push([row({ table: "secret", val: "theirs" }), row({ pk: "010907", val: "taken" })]));
  await until(async () => (await exact(a.db, "t")).length === 2);
  assert.deepEqual(await a.db.execA("SELECT a FROM secret"), [["mine"]]);
  assert.equal(a.client.status.quarantined, 0);
  await stop(a);
});

// --------------------------------------------------------------------------------------------- tabs

/** Two tabs of one database, and a device elsewhere. */
async function tabs(name, schema = T, replicated = undefined) {
  const relay = new PlainRelay();
  const db = replicated ? await withTables(name, schema, replicated) : await openWith(schema, name);
  const first = await device(relay, [], { db });
  const second = await device(relay, [], { db: await open(name) });
  const elsewhere = await device(relay, T);
  await until(() => [first, elsewhere].every(({ client }) => client.status.state === "live"), "all are in step");
  return { relay, first, second, elsewhere };
}

async function withTables(name, schema, replicated) {
  const db = await open(name);
  for (const statement of schema) await db.exec(statement);
  for (const table of replicated) await db.exec(`SELECT crsql_as_crr('main', '${table}')`);
  return db;
}

async function closeTabs({ first, second, elsewhere }) {
  await stop(second, first, elsewhere);
  await second.db.close();
  await first.db.close();
}
