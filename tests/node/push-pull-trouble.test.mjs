// SyncClient with a server, or an app, that does the right thing at the wrong moment: a call that fails just before the
// server shows what it has lost, a stop in the middle of a refusal, a late answer to old credentials, cursors that include
// the row they name, empty pages on the way, and an app that is more impatient than the server.

import assert from "node:assert/strict";
import { test } from "node:test";
import { exact, until } from "./harness.mjs";
import { Records, refusal, start, stop, synced } from "./records.mjs";

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

test("a server that has lost data is noticed also when the first pull after its return fails", async () => {
  const server = new Records();
  const [a, b] = [await start(server), await start(server)];
  await a.db.exec("INSERT INTO t (id, a) VALUES (1, 'one')");
  await synced(a, b);
  await synced(a, b);
  await b.db.exec("INSERT INTO t (id, a) VALUES (2, 'two')");
  await synced(b, a);
  await synced(b, a);
  const before = server.records.length;
  server.records.length = before / 2;
  server.generation += 1;
  let failures = 0;
  server.before = (changes) => (changes === undefined && failures++ < 2 ? refusal({ message: "down" }) : true);
  const asked = [a, b].map(({ client }) => client.syncNow());
  await Promise.all(asked);
  await until(() => server.records.length >= before, "what was lost is sent again");
  assert.ok(failures >= 2);
  const c = await start(server);
  await synced(a, b, c);
  assert.equal((await exact(c.db, "t")).length, 2);
  await stop(a, b, c);
});

test("a refusal that a stop has cut off is told again, and the row stands in the list", async () => {
  const server = new Records();
  server.refuse = ({ data }) => data.val === "bad" && "no";
  const a = await start(server);
  await a.client.syncNow();
  let stopped;
  a.client.on("error", ({ code }) => {
    if (code === "peer-error") stopped ??= a.client.stop();
  });
  await a.db.exec("INSERT INTO t (id, a) VALUES (1, 'bad')");
  await until(() => stopped !== undefined, "the refusal");
  await stopped;
  await a.client.start();
  await a.client.waitForSynced();
  assert.deepEqual((await a.client.rejected()).map(({ code }) => code), ["refused"]);
  assert.equal(a.client.status.rejected, 1);
  await stop(a);
});

test("an answer to old credentials that comes late does not void the new ones", async () => {
  const server = new Records();
  const { push, pull } = server.transport();
  let [expired, renewed, asked] = [false, false, 0];
  const refuse = async (ms) => {
    await pause(ms);
    throw refusal({ status: 401 });
  };
  const methods = {
    push: (changes, options) => (expired && !renewed ? refuse(300) : push(changes, options)),
    pull: (options) => (expired && !renewed ? refuse(20) : pull(options)),
  };
  const onAuthRequired = () => {
    asked += 1;
    renewed = true;
  };
  const a = await start(server, { methods, pullIntervalMs: 300, onAuthRequired });
  await a.client.syncNow();
  expired = true;
  a.client.syncNow().catch(() => {}); // may be told of the refusal
  await a.db.exec("INSERT INTO t (id, a) VALUES (1, 'one')");
  await until(() => server.records.length > 0 && a.client.status.state === "live", "everything goes on");
  assert.equal(asked, 1);
  await a.client.waitForSynced();
  await stop(a);
});

test("a server whose cursor includes the row that it names has not started over", async () => {
  const server = new Records();
  const pulls = [];
  const pull = async ({ cursor }) => {
    pulls.push(cursor);
    const from = Math.max(0, Number(cursor ?? 0) - 1);
    return { changes: structuredClone(server.records.slice(from)), cursor: String(server.records.length), hasMore: false };
  };
  const a = await start(server, { methods: { pull } });
  await a.db.exec("INSERT INTO t (id, a) VALUES (1, 'one')");
  await a.client.waitForSynced();
  for (let round = 0; round < 4; round += 1) await a.client.syncNow();
  assert.deepEqual(a.errors.map(({ code }) => code), []);
  assert.ok(pulls.length >= 4 && pulls.slice(1).every((cursor) => cursor != null), JSON.stringify(pulls));
  await stop(a);
});

test("empty pages on the way are no end", async () => {
  const pulls = [];
  const pull = async ({ cursor }) => {
    pulls.push(cursor);
    const at = Number(cursor ?? 0);
    return { changes: [], cursor: String(at + 1), hasMore: at < 50 };
  };
  const a = await start(new Records(), { methods: { pull } });
  await a.client.waitForFirstSync();
  assert.equal(pulls.length, 51);
  await stop(a);
});

test("the patience that a server asks for is kept, however often the app asks", async () => {
  const server = new Records();
  const calls = [];
  let limited = false;
  server.before = () => {
    calls.push(Date.now());
    return limited ? refusal({ status: 429, retryAfter: 60_000 }) : true;
  };
  const a = await start(server);
  await a.client.syncNow();
  limited = true;
  const first = calls.length;
  const controller = new AbortController();
  const rounds = [];
  for (let round = 0; round < 10; round += 1) {
    rounds.push(a.client.syncNow(controller.signal).catch(({ name }) => name));
    await pause(30);
  }
  assert.equal(calls.length - first, 1, "one call was refused, and none was made after it");
  controller.abort();
  assert.deepEqual(new Set(await Promise.all(rounds)), new Set(["AbortError"]));
  await stop(a);
});
