// What goes wrong in an app's life, provoked with the real package: which error the client tells, whether it goes on or
// halts, and that everything arrives when the cause is gone.
import assert from "node:assert/strict";
import { test } from "node:test";
import { device, exact, exchange, open, openWith, pair, PlainRelay, settled, until } from "./harness.mjs";
import { push, row } from "./stranger.mjs";

const T = ["CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, a, b)"];
const stop = (...devices) => Promise.all(devices.map(({ client }) => client.stop()));
const value = async (db, sql) => (await db.execA(sql))[0]?.[0];
const has = ({ db }, id) => until(async () => (await value(db, `SELECT count(*) FROM t WHERE id = ${id}`)) === 1, `row ${id} arrives`);

/** What the client tells of this code: a real error, told once so far. */
async function told({ errors }, code) {
  const of = () => errors.filter((error) => error.code === code);
  await until(() => of().length > 0, `${code} is told`);
  assert.equal(of().length, 1);
  assert.ok(of()[0] instanceof Error);
  assert.ok(of()[0].message);
  return of()[0];
}

/** A relay that stores, as much of one as a single device needs: it takes everything and gives `changes`. */
class Log {
  name = "log";
  stored = [];
  /** Called with every push: what is returned is said in place of the acknowledgement. */
  refuse = () => undefined;

  constructor(relay, account, changes = []) {
    Object.assign(this, { relay, account, changes, siteId: Buffer.from(account.padEnd(16, ".")).toString("base64") });
    relay.join(this);
  }

  deliver(frame) {
    const { type, siteId: to, payload } = JSON.parse(frame);
    const about = { to, ref: payload.ref };
    if (type === "sync_request") {
      const { changes, account } = this;
      const currentVersion = changes.length;
      this.#say("sync_response", { changes, currentVersion, baseVersion: 0, head: currentVersion, durable: true, account, ...about });
    }
    if (type === "sync_push") {
      const refused = this.refuse(payload);
      if (refused) return this.#say("sync_error", { ...refused, ...about });
      this.stored.push(...payload.changes);
      const { currentVersion: receivedVersion, changes } = payload;
      this.#say("sync_ack", { receivedVersion, appliedCount: changes.length, durable: true, ...about });
    }
  }

  #say(type, payload) {
    const said = { type, version: 1, siteId: this.siteId, timestamp: 0, payload: { run: this.account, ...payload } };
    this.relay.forward(this, JSON.stringify(said));
  }
}

// ------------------------------------------------------------------------------------------------ whose data it is

test("another account's log behind the same remote gets nothing and gives nothing, until the own one is back", async () => {
  const relay = new PlainRelay();
  const ours = new Log(relay, "ours");
  const a = await device(relay, T);
  await a.db.exec("INSERT INTO t VALUES (1, 'mine', NULL)");
  await a.client.waitForSynced();
  a.transport.cut();
  await a.db.exec("INSERT INTO t VALUES (2, 'mine too', NULL)");
  relay.leave(ours);
  const theirs = new Log(relay, "theirs", [row({ pk: "010909", val: "not mine" })]);
  a.transport.connect();
  const error = await told(a, "account-changed");
  assert.equal(error.retryable, false);
  assert.deepEqual([a.client.status.state, a.client.status.reason], ["failed", "account-changed"]);
  await a.db.exec("INSERT INTO t VALUES (3, 'mine as well', NULL)");
  for (const call of ["syncNow", "waitForSynced", "resync"]) {
    await assert.rejects(a.client[call](), { code: "account-changed", retryable: false });
  }
  assert.equal(theirs.stored.length, 0);
  assert.equal(await value(a.db, "SELECT count(*) FROM t"), 3);
  // A new start with the wrong log is no way around.
  await a.client.stop();
  await a.client.start();
  await until(() => a.client.status.reason === "account-changed");
  assert.equal(theirs.stored.length, 0);
  await a.client.stop();
  relay.leave(theirs);
  relay.join(ours);
  await a.client.start();
  await a.client.waitForSynced();
  assert.deepEqual(ours.stored.filter(({ cid }) => cid === "a").map(({ val }) => val), ["mine", "mine too", "mine as well"]);
  assert.equal(a.client.status.state, "live");
  await stop(a);
});

/** Copies the file of a closed database, as who copies a profile or restores a backup beside it. */
async function copy(from, to) {
  const asked = indexedDB.open("idb-batch-atomic");
  await new Promise((resolve, reject) => Object.assign(asked, { onsuccess: resolve, onerror: () => reject(asked.error) }));
  const writing = asked.result.transaction(["blocks"], "readwrite");
  const all = writing.objectStore("blocks").getAll();
  all.onsuccess = () => {
    for (const block of all.result) {
      if (block.path === `/${from}`) writing.objectStore("blocks").put({ ...block, path: `/${to}` });
    }
  };
  await new Promise((resolve, reject) => Object.assign(writing, { oncomplete: resolve, onerror: () => reject(writing.error) }));
  asked.result.close();
}

test("two live copies of a database are told to both and to others, and sync goes on", async () => {
  const relay = new PlainRelay();
  const first = await openWith(T, "original.db");
  await first.exec("INSERT INTO t VALUES (1, 'one', NULL)");
  await first.close();
  await copy("original.db", "copy.db");
  const c = await device(relay, T);
  const a = await device(relay, [], { db: await open("original.db") });
  await settled(a, c);
  const b = await device(relay, [], { db: await open("copy.db") });
  assert.equal(a.db.siteid, b.db.siteid);
  // Not waited for: that both copies have answered may take the minutes for which they are left alone.
  const asks = () => void a.client.syncNow().catch(() => {});
  asks();
  await b.db.exec("INSERT INTO t VALUES (2, 'of the copy', NULL)");
  await a.db.exec("INSERT INTO t VALUES (3, 'of the original', NULL)");
  asks();
  for (const one of [a, b, c]) {
    await until(() => one.errors.some(({ code }) => code === "cloned-database"));
    assert.ok(one.errors.every((error) => error instanceof Error && error.code === "cloned-database" && !error.retryable), String(one.errors));
    assert.notEqual(one.client.status.state, "failed");
  }
  await has(c, 2);
  await has(c, 3);
  await stop(b);
  const before = [...a.errors, ...c.errors].length;
  await a.db.exec("INSERT INTO t VALUES (4, 'alone again', NULL)");
  await has(c, 4);
  await c.db.exec("INSERT INTO t VALUES (5, 'and back', NULL)");
  await has(a, 5);
  assert.equal([...a.errors, ...c.errors].length, before);
  await stop(a, c);
});

// ------------------------------------------------------------------------------------------------- the database

test("the lists cannot be read while the app holds a transaction open, and sync goes on after it", async () => {
  const { a, b } = await pair(T);
  await exchange(a, b);
  await a.db.exec("BEGIN");
  await a.db.exec("INSERT INTO t VALUES (1, 'of the app', NULL)");
  for (const list of ["quarantine", "rejected"]) {
    await assert.rejects(a.client[list](), (error) => error instanceof Error && error.code === "database-busy" && error.retryable);
  }
  await b.db.exec("INSERT INTO t VALUES (2, 'of b', NULL)");
  await b.client.waitForSynced({ level: "sent" });
  assert.notEqual(a.client.status.state, "failed");
  await a.db.exec("COMMIT");
  assert.deepEqual(await a.client.quarantine(), []);
  await has(a, 2);
  await has(b, 1);
  assert.deepEqual([...a.errors, ...b.errors], [], "there is nothing to tell of a transaction of the app");
  await stop(a, b);
});

test("a database that takes no writes for a while is told, and everything arrives when it takes them again", async () => {
  const { a, b } = await pair(T);
  await exchange(a, b);
  await a.db.exec("INSERT INTO t VALUES (1, 'of a', NULL)");
  await exchange(a, b);
  await a.db.exec("PRAGMA query_only = ON");
  await b.db.exec("INSERT INTO t VALUES (2, 'of b', NULL)");
  const error = await told(a, "database-failed");
  assert.equal(error.retryable, true);
  assert.match(error.message, /readonly/);
  assert.notEqual(a.client.status.state, "failed");
  await assert.rejects(a.client.quarantine(), { code: "database-failed", retryable: true });
  await a.db.exec("PRAGMA query_only = OFF");
  await a.db.exec("INSERT INTO t VALUES (3, 'of a, later', NULL)");
  await settled(a, b); // by itself
  assert.equal((await exact(b.db, "t")).length, 3);
  assert.equal(a.client.status.quarantined, 0);
  await stop(a, b);
});

test("a client that starts on a database that takes no writes begins when it does", async () => {
  const relay = new PlainRelay();
  const a = await device(relay, T, { start: false });
  await a.db.exec("INSERT INTO t VALUES (1, 'of a', NULL)");
  await a.db.exec("PRAGMA query_only = ON");
  await a.client.start();
  assert.equal((await told(a, "database-failed")).retryable, true);
  await a.db.exec("PRAGMA query_only = OFF");
  const b = await device(relay, T);
  await settled(a, b);
  await stop(a, b);
});

/** A device whose storage has no page left when it is given a large row, and the one that wrote it. */
async function full() {
  const { a, b } = await pair(T);
  await b.db.exec("INSERT INTO t VALUES (1, 'one', NULL), (2, 'two', NULL)");
  await exchange(a, b);
  await a.db.execA(`PRAGMA max_page_count = ${await value(a.db, "PRAGMA page_count")}`);
  await b.db.exec(`INSERT INTO t VALUES (3, '${"x".repeat(100_000)}', NULL)`);
  const error = await told(a, "storage-full");
  return { a, b, error, free: () => a.db.execA("PRAGMA max_page_count = 1000000") };
}

test("a full storage halts the client, and syncNow goes on when there is room", async () => {
  const { a, b, error, free } = await full();
  assert.deepEqual([error.code, error.retryable], ["storage-full", true]);
  assert.deepEqual([a.client.status.state, a.client.status.reason], ["failed", "storage-full"]);
  // It is asked for again only when somebody says so, and told again if there is still no room.
  await assert.rejects(a.client.syncNow(), { code: "storage-full", retryable: true });
  assert.equal(a.client.status.state, "failed");
  await free();
  await b.db.exec("INSERT INTO t VALUES (4, 'meanwhile', NULL)");
  await a.client.syncNow();
  await settled(a, b);
  assert.equal((await exact(a.db, "t")).length, 4);
  assert.equal(a.client.status.quarantined, 0, "no row was blamed");
  assert.notEqual(a.client.status.state, "failed");
  await stop(a, b);
});

test("what the app writes after its storage was full is sent", async () => {
  const { a, b, free } = await full();
  await a.db.exec("UPDATE t SET a = 'a' WHERE id = 1"); // smaller than what was there
  await a.db.exec("DELETE FROM t WHERE id = 2");
  await free();
  await a.client.syncNow();
  await settled(a, b);
  assert.deepEqual(await b.db.execA("SELECT id, substr(a, 1, 1) FROM t ORDER BY id"), [[1, "a"], [3, "x"]]);
  assert.deepEqual(await exact(a.db, "t"), await exact(b.db, "t"));
  await stop(a, b);
});

test("what the app writes after a trigger of its own has undone our transaction is sent", async () => {
  const { a, b } = await pair(T);
  await exchange(a, b);
  await a.db.exec("CREATE TRIGGER never BEFORE INSERT ON t WHEN new.id = 7 BEGIN SELECT RAISE(ROLLBACK, 'never'); END");
  await b.db.exec("INSERT INTO t VALUES (7, 'refused', NULL)");
  assert.equal((await told(a, "database-failed")).retryable, true);
  await a.db.exec("INSERT INTO t VALUES (1, 'of a', NULL)");
  await a.db.exec("DROP TRIGGER never");
  await a.client.syncNow();
  await has(b, 1);
  await settled(a, b);
  await stop(a, b);
});

test("a table that was dropped without its clocks is named, and sync goes on when they are gone too", async () => {
  const { a, b } = await pair([...T, "CREATE TABLE u (id INTEGER PRIMARY KEY NOT NULL, a)"]);
  await a.db.exec("INSERT INTO u VALUES (1, 1)");
  await exchange(a, b);
  await a.db.exec("DROP TABLE u");
  await a.db.exec("INSERT INTO t VALUES (1, 1, 1)");
  const error = await told(a, "orphan-clock-table");
  assert.equal(error.retryable, true);
  assert.deepEqual([a.client.status.state, a.client.status.reason], ["failed", "orphan-clock-table"]);
  await assert.rejects(a.client.syncNow(), { code: "orphan-clock-table" });
  for (const clocks of ["clock", "pks"]) await a.db.exec(`DROP TABLE u__crsql_${clocks}`);
  await a.client.syncNow();
  await has(b, 1);
  await b.db.exec("INSERT INTO t VALUES (2, 2, 2)");
  await has(a, 2);
  await stop(a, b);
});

test("a database that is closed under a running client ends it", async () => {
  const { a, b } = await pair(T);
  await exchange(a, b);
  await a.db.close();
  await assert.rejects(a.client.syncNow(), { code: "database-closed", retryable: false });
  assert.equal((await told(a, "database-closed")).retryable, false);
  assert.deepEqual([a.client.status.state, a.client.status.reason], ["failed", "database-closed"]);
  await stop(a, b);
});

// ---------------------------------------------------------------------------------------------- peer and transport

test("a message that nobody can read is told, and costs the next one nothing", async () => {
  const relay = new PlainRelay();
  const a = await device(relay, T);
  await until(() => a.client.status.state === "catching-up" || a.client.status.state === "live");
  relay.inject({ ...push([row({ val: "of the future" })]), version: 2 });
  const version = await told(a, "unsupported-version");
  relay.inject({ ...push([row({ val: "of nobody" })]), siteId: "AAAA" });
  const malformed = await told(a, "malformed-message");
  assert.deepEqual([version.retryable, malformed.retryable], [false, false]);
  relay.inject(push([row({ pk: "010902", val: "good" })]));
  await has(a, 2);
  assert.equal(await value(a.db, "SELECT count(*) FROM t"), 1);
  assert.equal(a.transport.state, "open");
  await stop(a);
});

test("what a relay could not store is told, and sent again", async () => {
  const relay = new PlainRelay();
  const log = new Log(relay, "ours");
  const a = await device(relay, T);
  await a.client.waitForSynced();
  const refusals = [{ code: "storage-failed", message: "the log could not be written", retryAfter: 20 }];
  log.refuse = () => refusals.shift();
  await a.db.exec("INSERT INTO t VALUES (1, 'one', NULL)");
  const error = await told(a, "peer-error");
  assert.equal(error.retryable, true);
  assert.match(error.message, /could not be written/);
  await a.client.waitForSynced();
  assert.ok(log.stored.some(({ val }) => val === "one"));
  await until(() => a.client.status.pendingChanges === 0);
  await stop(a);
});

test("a flood that comes faster than it can be applied costs the connection, and nothing else", async () => {
  const { a, b } = await pair(T);
  await exchange(a, b);
  const rows = Array.from({ length: 1100 }, (_, at) => row({ pk: Buffer.from([1, 0x11, 1 + (at >> 8), at & 255]).toString("hex"), val: at }));
  let connections = 0;
  a.transport.onStateChange(({ state }) => (connections += state === "open"));
  await a.db.exec("BEGIN");
  b.transport.deliver(JSON.stringify(push(rows)));
  for (const one of rows) a.transport.deliver(JSON.stringify(push([one])));
  await until(() => connections === 1, "the connection is given up for a new one");
  await a.db.exec("ROLLBACK");
  await settled(a, b);
  assert.equal(await value(a.db, "SELECT count(*) FROM t"), rows.length);
  assert.equal(a.client.status.quarantined, 0);
  await stop(a, b);
});

test("a transport that takes no more is given up with its own backoff, and everything arrives afterwards", async () => {
  const { a, b } = await pair(T);
  await exchange(a, b);
  const { transport } = a;
  const { send } = transport;
  let dropped = 0;
  transport.drop = () => {
    dropped += 1;
    transport.cut();
  };
  transport.reconnect = () => assert.fail("nobody hammers");
  transport.send = () => false;
  await a.db.exec("INSERT INTO t VALUES (1, 'one', NULL)");
  const error = await told(a, "outbox-overflow");
  assert.equal(error.retryable, true);
  assert.equal(dropped, 1);
  assert.equal(a.client.status.state, "connecting");
  assert.ok(a.client.status.retryAt > Date.now());
  transport.send = send;
  await transport.connect();
  await has(b, 1);
  assert.equal(dropped, 1);
  await stop(a, b);
});

test("a transport that throws at a frame is told with what it threw, and everything arrives afterwards", async () => {
  const { a, b } = await pair(T);
  await exchange(a, b);
  const { send } = a.transport;
  const thrown = new Error("no socket");
  a.transport.send = () => {
    a.transport.send = send;
    throw thrown;
  };
  await a.db.exec("INSERT INTO t VALUES (1, 'one', NULL)");
  const error = await told(a, "not-connected");
  assert.deepEqual([error.retryable, error.cause], [true, thrown]);
  await has(b, 1);
  await stop(a, b);
});
