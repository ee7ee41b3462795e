// Rows of ours that the other side refuses: kept, shown, sent again when that makes sense, and off the list when it does not.
import assert from "node:assert/strict";
import { test } from "node:test";
import { until } from "./harness.mjs";
import { Records, start, stop, synced } from "./records.mjs";

const refuses = (word) => (change) => JSON.stringify(change.data).includes(word) && "not here";
const words = (server) => server.records.map(({ data }) => data.val).filter((val) => typeof val === "string");

test("a row that was refused is sent again by retry, and leaves the list when the server takes it", async () => {
  const server = new Records();
  server.refuse = refuses("bad");
  const a = await start(server);
  const heard = [];
  a.client.on("rejected", (rows) => heard.push(...rows));
  await a.db.exec("INSERT INTO t VALUES (1, 'bad', 1, 'good')");
  await a.client.waitForSynced();
  assert.equal(a.client.status.rejected, 1);
  const calls = server.pushes.length;
  assert.deepEqual(await a.client.retry(), { quarantined: 0, rejected: 1 }, "it is refused again");
  assert.deepEqual(server.pushes.slice(calls).map((changes) => changes.map(({ data }) => data.val)), [["bad"]], "alone");
  assert.deepEqual((await a.client.rejected()).map(({ code, row }) => [code, row.cid, row.val]), [["refused", "a", "bad"]]);
  await until(() => heard.length === 2, "the app is told of each refusal");
  server.refuse = () => false;
  assert.deepEqual(await a.client.retry(), { quarantined: 0, rejected: 0 });
  assert.deepEqual(await a.client.rejected(), []);
  assert.deepEqual(words(server).sort(), ["bad", "good"]);
  await synced(a, await start(server));
  await stop(a);
});

test("a refused row is sent again once when the schema changes, also by the next client on this database", async () => {
  const server = new Records();
  server.refuse = refuses("bad");
  const a = await start(server);
  await a.db.exec("INSERT INTO t VALUES (1, 'bad', 1, 'good')");
  await a.client.waitForSynced();
  await a.client.stop();
  const again = await start(server, { db: a.db });
  await again.client.waitForSynced();
  assert.equal(again.client.status.rejected, 1, "a restart asks nothing again");
  const bad = () => server.pushes.flat().filter(({ data }) => data.val === "bad").length;
  assert.equal(bad(), 1);
  await a.db.exec("CREATE TABLE other (x)");
  await until(() => bad() === 2, "it is sent again");
  await again.client.syncNow();
  await new Promise((wake) => setTimeout(wake, 6_000)); // longer than the database is looked at
  assert.equal(bad(), 2, "once");
  server.refuse = () => false;
  await a.db.exec("CREATE TABLE another (x)");
  await until(() => again.client.status.rejected === 0, "it leaves the list by itself");
  assert.deepEqual(words(server).sort(), ["bad", "good"]);
  await stop(again);
});

test("a refused row leaves the list when it was overwritten, deleted, or refused anew in another form", async () => {
  const server = new Records();
  server.refuse = refuses("bad");
  const a = await start(server);
  await a.db.exec("INSERT INTO t VALUES (1, 'bad', 1, NULL), (2, 'bad', 1, NULL), (3, 'bad', 1, NULL)");
  await a.client.waitForSynced();
  assert.equal(a.client.status.rejected, 3);
  await a.db.exec("UPDATE t SET a = 'good' WHERE id = 1");
  await a.client.waitForSynced();
  await until(() => a.client.status.rejected === 2, "what it was overwritten with was taken");
  await a.db.exec("DELETE FROM t WHERE id = 2");
  await a.client.waitForSynced();
  await until(() => a.client.status.rejected === 1, "the row is gone");
  await a.db.exec("UPDATE t SET a = 'bad too' WHERE id = 3");
  await a.client.waitForSynced();
  await until(async () => (await a.client.rejected())[0].row.val === "bad too", "what is newer takes its place");
  assert.equal(a.client.status.rejected, 1);
  await stop(a);
});

test("what was overwritten while nothing could be sent is not sent again by retry", async () => {
  const server = new Records();
  server.refuse = refuses("bad");
  const a = await start(server);
  await a.db.exec("INSERT INTO t VALUES (1, 'bad', 1, NULL)");
  await a.client.waitForSynced();
  server.before = () => new Error("away");
  await a.db.exec("UPDATE t SET a = 'good' WHERE id = 1");
  const retried = a.client.retry();
  await until(() => a.client.status.rejected === 0, "it has left the list before anything was sent");
  server.before = () => true;
  assert.deepEqual(await retried, { quarantined: 0, rejected: 0 });
  await a.client.waitForSynced();
  assert.deepEqual(words(server), ["good"]);
  await stop(a);
});

test("retry waits for a connection where the server has to be asked, and can be given up", async () => {
  const server = new Records();
  server.refuse = refuses("bad");
  const a = await start(server);
  await a.db.exec("INSERT INTO t VALUES (1, 'bad', 1, NULL)");
  await a.client.waitForSynced();
  server.before = () => new Error("away");
  const controller = new AbortController();
  const given = a.client.retry(controller.signal);
  controller.abort(new Error("enough"));
  await assert.rejects(given, /enough/);
  const waiting = a.client.retry();
  server.refuse = () => false;
  server.before = () => true;
  assert.deepEqual(await waiting, { quarantined: 0, rejected: 0 });
  await stop(a);
});
