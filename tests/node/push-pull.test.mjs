// SyncClient over transports of the push-pull contract: strangers' plain objects, in memory, with the real cr-sqlite.
import assert from "node:assert/strict";
import { test } from "node:test";
import { device, exact, settled, SyncClient, until } from "./harness.mjs";
import { open } from "./database.mjs";
import { Records, refusal, start, stop, synced, T } from "./records.mjs";

test("two databases keep in step over any object with push and pull", async () => {
  const server = new Records();
  const [a, b] = [await start(server), await start(server)];
  await a.db.exec("INSERT INTO t (id, a) VALUES (1, 'one')");
  await b.db.exec("INSERT INTO t (id, a) VALUES (2, 'two')");
  await synced(a, b);
  assert.equal((await exact(b.db, "t")).length, 2);
  await a.db.exec("UPDATE t SET id = 3 WHERE id = 2");
  await b.db.exec("DELETE FROM t WHERE id = 1");
  await synced(a, b);
  assert.deepEqual(await exact(a.db, "t"), await exact(b.db, "t"));
  assert.equal(a.client.status.state, "live");
  // A look at the database may be under way, which finds nothing.
  await until(() => a.client.status.pendingChanges === 0, "nothing is pending", 3000);
  assert.ok(a.client.status.lastSyncedAt > 0);
  assert.deepEqual([...a.errors, ...b.errors], []);
  assert.ok(server.pulls.every((options) => !("collections" in options)));
  await stop(a, b);
});

test("every value arrives as it was, bit by bit", async () => {
  const server = new Records();
  const [a, b] = [await start(server), await start(server)];
  const values = [
    "NULL", "0", "5", "9007199254740991", "9007199254740992", "9223372036854775807", "-9223372036854775807 - 1",
    "5.0", "-0.0", "0.1", "1e300", "5e-324", "9e999", "-9e999", "''", "'a' || char(0) || 'b'", "'😀'", "CAST(x'61ff' AS TEXT)",
    "x''", "x'00ff'", "'{\"$int\":\"1\"}'",
  ];
  for (const [id, value] of values.entries()) {
    await a.db.exec(`INSERT INTO t VALUES (${id}, ${value}, ${value.startsWith("x") ? 1 : value}, ${value})`);
  }
  await synced(a, b);
  assert.deepEqual(await exact(b.db, "t"), await exact(a.db, "t"));
  assert.equal((await exact(b.db, "t")).length, values.length);
  await stop(a, b);
});

test("the same change has the same record, whoever sends it", async () => {
  const server = new Records();
  const a = await start(server);
  await a.db.exec("INSERT INTO t (id, a) VALUES (1, 5.0)");
  await synced(a);
  const before = server.records.length;
  assert.ok(before > 0);
  const b = await start(server);
  await synced(a, b);
  await b.client.resync();
  await a.client.resync();
  assert.equal(server.records.length, before, "nothing was sent that was there");
  await stop(a, b);
});

test("records of other kinds are passed over, and a bad one of ours costs the others nothing", async () => {
  const server = new Records();
  const a = await start(server);
  await a.db.exec("INSERT INTO t (id, a) VALUES (1, 'one')");
  await a.client.waitForSynced();
  const bad = structuredClone(server.records[0]);
  bad.id = bad.recordId = "another";
  server.records.unshift(
    { id: 1, collection: "todos", recordId: 7, type: "update", data: { title: "milk" }, timestamp: "" },
    { id: "x", collection: "todos", recordId: "x", type: "delete", data: null, timestamp: "" },
    bad,
  );
  const b = await start(server);
  await synced(b, a);
  assert.equal((await exact(b.db, "t")).length, 1);
  const kept = await b.client.quarantine();
  assert.deepEqual(kept.map(({ code }) => code), ["malformed-row"]);
  assert.equal(kept[0].row.id, "another");
  assert.equal(b.client.status.quarantined, 1);
  await stop(a, b);
});

test("an explicit error puts a row aside and blocks nothing; a fresh start tries it again", async () => {
  const server = new Records();
  server.refuse = ({ data }) => data.val === "bad" && "this word is not allowed";
  const [a, b] = [await start(server), await start(server)];
  let heard;
  a.client.on("rejected", (rows) => (heard = rows));
  await a.db.exec("INSERT INTO t (id, a) VALUES (1, 'bad'), (2, 'good')");
  await a.client.waitForSynced();
  await b.client.syncNow();
  await until(() => heard);
  assert.equal(heard[0].code, "refused");
  assert.equal(heard[0].row.val, "bad");
  assert.equal(a.client.status.rejected, 1);
  assert.equal(a.client.status.state, "live");
  assert.ok(a.errors.some(({ code, message }) => code === "peer-error" && /not allowed/.test(message)));
  server.refuse = () => false;
  await a.client.resync();
  assert.equal(a.client.status.rejected, 0);
  await b.client.syncNow();
  await settled(a, b);
  await stop(a, b);
});

test("ids that the result does not mention are sent again; a conflict with the same is none", async () => {
  const server = new Records();
  let first = true;
  server.answer = (result, changes) => {
    if (!first) return { accepted: [], errors: [], conflicts: changes.map((c) => ({ changeId: c.id, collection: c.collection, remote: c.data })) };
    first = false;
    return { accepted: [...result.accepted.slice(1), { id: "not ours" }], conflicts: [], errors: [] };
  };
  const a = await start(server);
  await a.db.exec("INSERT INTO t (id, a) VALUES (1, 'one')");
  await a.client.waitForSynced();
  assert.equal(server.pushes.length, 2);
  assert.equal(server.pushes[1].length, 1);
  assert.equal(a.client.status.rejected, 0);
  server.answer = (result, changes) => ({ accepted: [], errors: [], conflicts: changes.map((c) => ({ changeId: c.id, collection: c.collection, remote: null })) });
  await a.db.exec("INSERT INTO t (id, c) VALUES (2, 'x')");
  await a.client.waitForSynced();
  assert.ok((await a.client.rejected()).every(({ code }) => code === "conflict"));
  await stop(a);
});

test("a server that has started over is noticed, and gets back what it has lost", async () => {
  const server = new Records();
  const [a, b] = [await start(server), await start(server)];
  await a.db.exec("INSERT INTO t (id, a) VALUES (1, 'one')");
  await synced(a, b);
  await synced(a, b);
  await b.db.exec("INSERT INTO t (id, a) VALUES (2, 'two')");
  await synced(b, a);
  await synced(b, a);
  server.records.length = 3; // a backup, from before b has written
  server.generation += 1;
  await a.client.syncNow();
  await b.client.syncNow();
  await until(() => server.records.length >= 6, "what was lost is sent again");
  assert.deepEqual(new Set(b.errors.map(({ code }) => code)), new Set(["remote-reset"]));
  const c = await start(server);
  await synced(a, b, c);
  assert.equal((await exact(c.db, "t")).length, 2);
  await stop(a, b, c);
});

test("a server that is empty without a sign is filled again by resync", async () => {
  const server = new Records();
  const a = await start(server);
  await a.db.exec("INSERT INTO t (id, a) VALUES (1, 'one')");
  await synced(a);
  server.records.length = 0;
  await a.client.resync();
  const b = await start(server);
  await synced(a, b);
  assert.equal((await exact(b.db, "t")).length, 1);
  await stop(a, b);
});

test("refused credentials are asked for once, and the next try uses them", async () => {
  const server = new Records();
  server.before = () => server.signedIn || refusal({ status: 401 });
  let asked = 0;
  const onAuthRequired = async () => {
    asked += 1;
    await new Promise(setImmediate);
    server.signedIn = true;
  };
  const a = await start(server, { onAuthRequired });
  await a.client.waitForFirstSync();
  await a.db.exec("INSERT INTO t (id, a) VALUES (1, 'one')");
  await a.client.waitForSynced();
  assert.equal(asked, 1);
  assert.equal(a.client.status.state, "live");
  await stop(a);
});

test("credentials that are refused again wait for the app", async () => {
  const server = new Records();
  server.before = () => server.signedIn || refusal({ code: "needs-auth" });
  let asked = 0;
  const a = await start(server, { onAuthRequired: () => void (asked += 1) });
  await until(() => asked === 1 && server.calls >= 2);
  await until(() => a.client.status.state === "needs-auth");
  const calls = server.calls;
  await new Promise((wake) => setTimeout(wake, 50));
  assert.equal(server.calls, calls);
  server.signedIn = true;
  await a.client.syncNow();
  assert.equal(a.client.status.state, "live");
  assert.equal(asked, 1);
  await stop(a);
});

test("what is too large is sent in smaller batches, and a row that does not fit alone is put aside", async () => {
  const server = new Records();
  server.before = (changes) => !changes || (changes.length <= 3 && !changes.some(({ data }) => data.val?.length > 1000)) || refusal({ status: 413 });
  const [a, b] = [await start(server), await start(server)];
  for (let id = 1; id <= 8; id++) await a.db.exec(`INSERT INTO t (id, a) VALUES (${id}, ${id})`);
  await a.db.exec(`INSERT INTO t (id, a) VALUES (9, '${"x".repeat(2000)}')`);
  await a.client.waitForSynced();
  assert.deepEqual((await a.client.rejected()).map(({ code }) => code), ["too-large"]);
  await b.client.syncNow();
  assert.equal((await exact(b.db, "t")).length, 9);
  await stop(a, b);
});

test("batchChanges bounds pushes and pages", async () => {
  const server = new Records();
  const options = { batchChanges: 4 };
  const [a, b] = [await start(server, options), await start(server, options)];
  await a.db.tx(async (tx) => {
    for (let id = 1; id <= 10; id++) await tx.exec(`INSERT INTO t (id, a) VALUES (${id}, ${id})`);
  });
  await synced(a, b);
  assert.ok(server.pushes.every((changes) => changes.length <= 4));
  assert.ok(server.pulls.every(({ batchSize }) => batchSize === 4));
  assert.equal((await exact(b.db, "t")).length, 10);
  await stop(a, b);
});

test("a passing failure is tried again, one that lasts is shown until the app syncs", async () => {
  const server = new Records();
  let failures = 2;
  server.before = () => failures-- <= 0 || refusal({ status: 500, message: "down" });
  const a = await start(server);
  await until(() => a.client.status.state === "connecting" && a.client.status.retryAt);
  await a.client.waitForFirstSync();
  assert.equal(a.client.status.state, "live");
  assert.ok(a.errors.some(({ code, cause }) => code === "peer-error" && cause.message === "down"));
  server.before = () => refusal({ status: 403, message: "go away" });
  await assert.rejects(a.client.syncNow(), { code: "http-status", message: "go away" });
  assert.equal(a.client.status.state, "failed");
  server.before = () => true;
  await a.client.syncNow();
  assert.equal(a.client.status.state, "live");
  await stop(a);
});

test("what the server sends unasked is applied at once, and asked for", async () => {
  const server = new Records();
  const [a, b] = [await start(server), await start(server, { pullIntervalMs: 0 })];
  await synced(a, b);
  const pulls = server.pulls.length;
  await a.db.exec("INSERT INTO t (id, a) VALUES (1, 'one')");
  await a.client.waitForSynced();
  server.tell(server.records);
  await until(async () => (await exact(b.db, "t")).length === 1);
  await until(() => server.pulls.length > pulls);
  await stop(a, b);
});

test("connect is called first, and stop aborts what is under way", async () => {
  const server = new Records();
  const order = [];
  server.before = () => void order.push("call") || true;
  let down = true;
  const methods = {
    connect: async () => {
      order.push("connect");
      if (down) throw new Error("no route");
    },
    disconnect: async () => void order.push("disconnect"),
    isConnected: () => !down,
  };
  const a = await start(server, { methods });
  await until(() => order.includes("call"));
  assert.equal(order[0], "connect");
  assert.ok(a.errors.some(({ code, cause }) => code === "connect-failed" && cause.message === "no route"));
  down = false;
  await a.client.syncNow();
  let signal;
  server.before = () => new Promise(() => {});
  server.seen = (options) => (signal = options.signal);
  const waiting = a.client.syncNow();
  await until(() => signal);
  await Promise.all([a.client.stop(), assert.rejects(waiting, { code: "stopped" })]);
  assert.equal(signal.aborted, true);
  assert.equal(order.at(-1), "disconnect");
});

test("a transport that is no transport is a bad option", async () => {
  const db = await open();
  for (const [options, message] of [
    [{ transport: { push() {} } }, /push\(\) and pull\(\)/],
    [{ transport: { push() {}, pull() {} } }, /remoteId/],
    [{ transport: { name: "x", push() {}, pull() {} }, pullIntervalMs: -1 }, /pullIntervalMs/],
    [{ transport: { name: "x", push() {}, pull() {} }, onAuthRequired: 1 }, /onAuthRequired/],
  ]) {
    assert.throws(() => new SyncClient({ db, ...options }), (error) => error.code === "bad-option" && message.test(error.message));
  }
  assert.doesNotThrow(() => new SyncClient({ db, transport: { name: "x", push() {}, pull() {} } }));
});

test("an answer that is none is a failure, and nothing is lost", async () => {
  const server = new Records();
  const answers = [null, {}, { changes: 1 }, "x", { changes: [], cursor: 5n }];
  const transport = server.transport();
  const { pull } = transport;
  transport.pull = (options) => (answers.length ? Promise.resolve(answers.shift()) : pull(options));
  const a = await device(null, T, { transport, start: false });
  await a.client.start();
  let synced;
  for (let left = answers.length; left > 0; left--) {
    await until(() => answers.length < left);
    synced = a.client.syncNow();
  }
  await synced;
  await a.db.exec("INSERT INTO t (id, a) VALUES (1, 'one')");
  server.answer = (result) => (server.answer = undefined) ?? "x";
  await a.client.waitForSynced();
  assert.ok(server.records.length > 0);
  await stop(a);
});
