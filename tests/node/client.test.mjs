// SyncClient as JavaScript uses it: options, life cycle, waiting, listeners. And the tabs of one database.
import assert from "node:assert/strict";
import { test } from "node:test";
import { device, exact, exchange, open, pair, PlainRelay, settled, SyncClient, until } from "./harness.mjs";
import { push, row } from "./stranger.mjs";

const T = ["CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, a, b)"];
const stop = (...devices) => Promise.all(devices.map(({ client }) => client.stop()));

test("every wrong option is named in a bad-option error", async () => {
  const db = await open();
  const transport = new PlainRelay().transport();
  const good = { db, transport };
  const cases = [
    [undefined, /\{ db, transport \}/],
    [{ transport }, /db is missing/],
    [{ db: "app.db", transport }, /db has no method exec/],
    [{ db: Promise.resolve(db), transport }, /db is a promise, did you forget await/],
    [{ db: { exec() {} }, transport }, /db has no method execA/],
    [{ db }, /transport is missing/],
    [{ db, transport: { protocol: "push-pull" } }, /protocol "relay"/],
    [{ db, transport: { protocol: "relay" } }, /no method connect/],
    [{ ...good, tables: "t" }, /tables must be/],
    [{ ...good, tables: [1] }, /tables must be/],
    [{ ...good, batchChanges: 0 }, /batchChanges must be/],
    [{ ...good, batchBytes: 1.5 }, /batchBytes must be/],
    [{ ...good, remoteId: "" }, /remoteId must be/],
    [{ ...good, multiTab: "no" }, /multiTab must be/],
  ];
  for (const [options, message] of cases) {
    assert.throws(() => new SyncClient(options), (error) => {
      assert.ok(error instanceof Error);
      assert.equal(error.code, "bad-option");
      assert.match(error.message, message);
      return true;
    });
  }
  const client = new SyncClient(good);
  assert.throws(() => client.on("nothing", () => {}), { code: "bad-option" });
  assert.throws(() => client.on("status"), { code: "bad-option" });
});

test("status is there before the start, after the stop, and in between", async () => {
  const relay = new PlainRelay();
  const a = await device(relay, T, { start: false });
  assert.equal(a.client.status.state, "stopped");
  const seen = [];
  a.client.on("status", ({ state }) => seen.push(state));
  await a.client.start();
  await until(() => a.client.status.state !== "connecting");
  await a.client.stop();
  assert.equal(a.client.status.state, "stopped");
  assert.equal(seen[0], "connecting");
  assert.equal(seen.at(-1), "stopped");
});

test("the end of a block stops the client that it holds", async () => {
  const a = await device(new PlainRelay(), T);
  await a.client[Symbol.asyncDispose ?? Symbol.for("Symbol.asyncDispose")]();
  assert.deepEqual([a.client.status.state, a.transport.state], ["stopped", "closed"]);
});

test("start and stop may be called twice, at once, and again", async () => {
  const { a, b } = await pair(T);
  await Promise.all([a.client.start(), a.client.start()]);
  await Promise.all([a.client.stop(), a.client.stop(), a.client.start(), a.client.start()]);
  await until(() => a.transport.state === "open");
  await a.db.exec("INSERT INTO t VALUES (1, 2, 3)");
  await exchange(a, b);
  await stop(a, b);
});

test("stop gives back every listener and lets the database be closed", async () => {
  const relay = new PlainRelay();
  const a = await device(relay, T);
  await a.db.exec("INSERT INTO t VALUES (1, 2, 3)");
  await a.client.waitForSynced({ level: "sent" });
  assert.ok(a.transport.listeners > 0);
  await a.client.stop();
  assert.equal(a.transport.listeners, 0);
  assert.equal(a.transport.state, "closed");
  await a.db.close();
});

test("a database that is closed under a running client is named, and nothing breaks", async () => {
  const relay = new PlainRelay();
  const a = await device(relay, T);
  await until(() => a.client.status.state === "catching-up" || a.client.status.state === "live");
  await a.db.close();
  await assert.rejects(a.client.quarantine(), { code: "database-closed" });
  await a.client.stop();
});

test("a transport that is open already is used as it is", async () => {
  const relay = new PlainRelay();
  const transport = relay.transport("early");
  await transport.connect();
  const a = await device(relay, T, { transport });
  const b = await device(relay, T);
  await a.db.exec("INSERT INTO t VALUES (1, 2, 3)");
  await exchange(a, b);
  await stop(a, b);
});

test("waiting ends with the signal's reason, at once if it has fired before", async () => {
  const relay = new PlainRelay();
  const a = await device(relay, T);
  a.transport.cut();
  const early = AbortSignal.abort(new Error("too late"));
  await assert.rejects(a.client.syncNow(early), /too late/);
  await assert.rejects(a.client.waitForSynced({ signal: early }), /too late/);
  await assert.rejects(a.client.waitForSynced(early), /too late/);
  const controller = new AbortController();
  const waiting = a.client.waitForSynced({ signal: controller.signal });
  const reason = new Error("never mind");
  controller.abort(reason);
  await assert.rejects(waiting, (error) => error === reason);
  await assert.rejects(a.client.waitForSynced({ level: "everywhere" }), { code: "bad-option" });
  await stop(a);
});

test("waiting ends with an error when the client stops or is not started", async () => {
  const relay = new PlainRelay();
  const a = await device(relay, T);
  a.transport.cut();
  const waiting = a.client.waitForSynced();
  await Promise.all([a.client.stop(), assert.rejects(waiting, { code: "stopped", retryable: false })]);
  await assert.rejects(a.client.syncNow(), { code: "stopped" });
});

test("a relay that only forwards cannot promise that anything is stored", async () => {
  const { a, b } = await pair(T);
  await exchange(a, b);
  await assert.rejects(a.client.waitForSynced(), { code: "not-storing" });
  await stop(a, b);
});

test("waitForFirstSync and syncNow resolve when both sides have everything", async () => {
  const { a, b } = await pair(T);
  await a.db.exec("INSERT INTO t VALUES (1, 2, 3)");
  await Promise.all([a.client.waitForFirstSync(), b.client.waitForFirstSync()]);
  await a.client.syncNow();
  await settled(a, b);
  assert.ok(a.client.status.lastSyncedAt > 0);
  await stop(a, b);
});

test("a listener that throws is told as an error and does not stop the others", async () => {
  const { a, b } = await pair(T);
  const thrown = new Error("mine");
  let heard = 0;
  a.client.on("applied", () => {
    throw thrown;
  });
  const off = a.client.on("applied", () => heard++);
  await b.db.exec("INSERT INTO t VALUES (1, 2, 3)");
  await exchange(b, a);
  await until(() => heard > 0);
  assert.equal(a.errors[0].code, "listener-threw");
  assert.equal(a.errors[0].cause, thrown);
  off();
  off();
  const before = heard;
  await b.db.exec("INSERT INTO t VALUES (2, 2, 3)");
  await exchange(b, a);
  assert.equal(heard, before);
  await stop(a, b);
});

test("a client may be stopped from inside a listener", async () => {
  const { a, b } = await pair(T);
  let stopped;
  a.client.on("applied", () => (stopped ??= a.client.stop()));
  await b.db.exec("INSERT INTO t VALUES (1, 2, 3)");
  await until(() => stopped !== undefined);
  await stopped;
  assert.equal(a.client.status.state, "stopped");
  assert.equal((await exact(a.db, "t")).length, 1);
  await stop(b);
});

test("many changes are applied without holding the page for long", async () => {
  const relay = new PlainRelay();
  const a = await device(relay, T);
  const changes = Array.from({ length: 20_000 }, (_, at) => {
    const key = Buffer.from([1, 0x19, 1, at >> 8, at & 255]).toString("hex");
    return row({ pk: key, val: `row ${at}` });
  });
  let longest = 0;
  const began = performance.now();
  let last = performance.now();
  let watching = true;
  const watch = () => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
    if (watching) setImmediate(watch);
  };
  relay.inject(push(changes));
  await new Promise((wake) => setTimeout(wake, 0));
  setImmediate(watch);
  await until(async () => a.applied.length > 0);
  watching = false;
  assert.equal((await a.db.execA("SELECT count(*) FROM t"))[0][0], 20_000);
  assert.deepEqual(a.applied[0].tables, { t: [] }, "so many keys are not named");
  // Against the whole, because machines differ. Decoding the one frame is a task by itself; merging is most of it.
  const whole = last - began;
  assert.ok(longest < 0.4 * whole, `one task of ${longest} ms in ${whole} ms`);
  await stop(a);
});

test("journals are kept in memory only where the app has no temporary tables and has chosen no place for them", async () => {
  const relay = new PlainRelay();
  const place = async ({ db }) => (await db.execA("PRAGMA temp_store"))[0][0];
  const plain = await device(relay, T);
  const withTables = await open();
  await withTables.exec("CREATE TEMP TABLE mine AS SELECT 1 AS one");
  const careful = await device(relay, [], { db: withTables });
  const chosen = await open();
  await chosen.exec("PRAGMA temp_store = 1");
  const choosy = await device(relay, [], { db: chosen });
  await until(async () => (await place(plain)) === 2);
  await Promise.all([careful, choosy].map(({ client }) => client.quarantine())); // after a transaction of ours
  assert.deepEqual([await place(careful), await place(choosy)], [0, 1]);
  assert.deepEqual(await withTables.execA("SELECT one FROM mine"), [[1]]);
  await stop(plain, careful, choosy);
});

test("the cache may grow only where the app has chosen no size for it", async () => {
  const relay = new PlainRelay();
  const size = async ({ db }) => (await db.execA("PRAGMA cache_size"))[0][0];
  const plain = await device(relay, T);
  const db = await open();
  await db.exec("PRAGMA cache_size = 500");
  const chosen = await device(relay, [], { db });
  await until(async () => (await size(plain)) === -65536);
  await chosen.client.quarantine(); // after a transaction of ours
  assert.equal(await size(chosen), 500);
  await stop(plain, chosen);
});

// ------------------------------------------------------------------------------------------------ tabs

/** Two tabs of one database, and a device elsewhere. */
async function tabs(name) {
  const relay = new PlainRelay();
  const first = await device(relay, T, { name });
  const second = await device(relay, [], { db: await open(name) });
  const elsewhere = await device(relay, T);
  return { relay, first, second, elsewhere };
}

const closeTabs = async ({ first, second, elsewhere }) => {
  await stop(second, first, elsewhere);
  await second.db.close();
  await first.db.close();
};

test("of two tabs one leads and the other stands by with the leader's numbers", async () => {
  const all = await tabs("tabs-lead.db");
  assert.equal(all.second.client.status.state, "standby");
  assert.equal(all.second.transport.state, "idle");
  await all.first.db.exec("INSERT INTO t VALUES (1, 'first', NULL)");
  await until(async () => (await exact(all.elsewhere.db, "t")).length === 1);
  await until(() => all.second.client.status.lastSyncedAt > 0);
  assert.equal(all.second.client.status.reason, all.first.client.status.state);
  await closeTabs(all);
});

test("a write in a following tab is sent by the leader, and every tab hears who wrote what", async () => {
  const all = await tabs("tabs-write.db");
  await all.second.db.exec("INSERT INTO t VALUES (1, 'second', NULL)");
  await until(async () => (await exact(all.elsewhere.db, "t")).length === 1);
  await until(() => all.first.applied.some(({ source }) => source === "tab"));
  assert.deepEqual(all.first.applied.find(({ source }) => source === "tab").tables, { t: [] });
  await all.elsewhere.db.exec("INSERT INTO t VALUES (2, 'elsewhere', NULL)");
  await until(() => all.second.applied.some(({ source }) => source === "remote"));
  assert.deepEqual(all.second.applied.find(({ source }) => source === "remote").tables.t.at(-1), [2]);
  assert.equal((await exact(all.second.db, "t")).length, 2);
  await closeTabs(all);
});

test("a following tab can wait for what only the leader can know", async () => {
  const all = await tabs("tabs-wait.db");
  await all.second.db.exec("INSERT INTO t VALUES (1, 'second', NULL)");
  await all.second.client.waitForSynced({ level: "sent" });
  await assert.rejects(all.second.client.waitForSynced({ level: "stored" }), { code: "not-storing" });
  const controller = new AbortController();
  all.first.transport.cut();
  const waiting = all.second.client.waitForSynced({ level: "sent", signal: controller.signal });
  controller.abort(new Error("enough"));
  await assert.rejects(waiting, /enough/);
  await closeTabs(all);
});

test("when the leader stops, the next tab leads, and what was waited for is not lost", async () => {
  const all = await tabs("tabs-next.db");
  all.first.transport.cut();
  await all.second.db.exec("INSERT INTO t VALUES (1, 'second', NULL)");
  const waiting = all.second.client.waitForSynced({ level: "sent" });
  await all.first.client.stop();
  await until(() => all.second.transport.state === "open");
  await waiting;
  await until(async () => (await exact(all.elsewhere.db, "t")).length === 1);
  await closeTabs(all);
});

test("of two clients that do not take turns the first one stops, and says why", async () => {
  const relay = new PlainRelay();
  const first = await device(relay, T, { name: "tabs-alone.db", multiTab: false });
  const second = await device(relay, [], { db: await open("tabs-alone.db"), multiTab: false });
  await until(() => second.client.status.state === "catching-up");
  await first.db.exec("INSERT INTO t VALUES (1, 'first', NULL)");
  await until(() => first.client.status.state === "stopped");
  assert.equal(first.errors.at(-1).code, "not-leading");
  assert.equal(first.transport.state, "closed");
  const elsewhere = await device(relay, T);
  await until(async () => (await exact(elsewhere.db, "t")).length === 1);
  assert.ok(second.errors.every(({ code }) => code !== "not-leading"));
  await stop(second, elsewhere);
});

test("two names of one file are one database: its tabs take turns", async () => {
  const relay = new PlainRelay();
  const first = await device(relay, T, { name: "tabs-names.db" });
  const second = await device(relay, [], { db: await open("/a/../tabs-names.db") });
  assert.equal(second.client.status.state, "standby");
  await closeTabs({ first, second, elsewhere: await device(relay, T) });
});

test("of two clients that each hold a lock of their own one stops, and says why", async () => {
  const relay = new PlainRelay();
  const first = await device(relay, T, { name: "tabs-rivals.db" });
  const db = await open("tabs-rivals.db");
  db.filename = "what-another-process-knows-nothing-of";
  const second = await device(relay, [], { db, start: false });
  let said = 0;
  for (const { client } of [first, second]) client.on("status", () => said++);
  await second.client.start();
  const both = [first, second];
  await until(() => both.some(({ client }) => client.status.state === "stopped"));
  const [stopped] = both.filter(({ client }) => client.status.state === "stopped");
  assert.equal(stopped.errors.at(-1).code, "not-leading");
  assert.ok(said < 150, `${said} status events`);
  const [stays] = both.filter((device) => device !== stopped);
  assert.ok(stays.errors.every(({ code }) => code !== "not-leading"));
  await stays.db.exec("INSERT INTO t VALUES (1, 'stays', NULL)");
  const elsewhere = await device(relay, T);
  await until(async () => (await exact(elsewhere.db, "t")).length === 1);
  await stop(stays, elsewhere);
});

test("what a following tab wrote is no longer pending once it leads and has sent it", async () => {
  const all = await tabs("tabs-unread.db");
  await all.second.client.waitForSynced({ level: "sent" });
  await all.second.db.exec("INSERT INTO t VALUES (1, 'second', NULL)");
  await all.first.client.stop();
  await until(async () => (await exact(all.elsewhere.db, "t")).length === 1);
  await until(() => all.second.client.status.pendingChanges === 0, "nothing pending", 8000);
  await closeTabs(all);
});
