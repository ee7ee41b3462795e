// exportDiagnostics: what a bug report needs, in every state, and nothing that is not for others.
import assert from "node:assert/strict";
import { test } from "node:test";
import { device, open, PlainRelay, SyncClient, until } from "./harness.mjs";
import { Records, start, stop } from "./records.mjs";
import { over, serve, started } from "./served.mjs";
import { push, row } from "./stranger.mjs";

const T = ["CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, a, b)"];
const SECRETS = ["the-value-7391", "the-key-7391", "the-token-7391", "the-trigger-7391", "the-word-7391", "the-user-7391", "the-cursor-7391"];

/** It leads and is connected; what the relay says from now on is heard. */
async function ready({ client }) {
  await until(() => ["catching-up", "live"].includes(client.status.state), "it is connected");
  await client.quarantine();
}

/** The report as a user would paste it, with none of the secrets in it, in any encoding that a message has. */
function pasted(report) {
  const text = JSON.stringify(report);
  for (const secret of SECRETS) {
    for (const form of [secret, Buffer.from(secret).toString("base64"), Buffer.from(secret).toString("hex"), encodeURIComponent(secret)]) {
      assert.ok(!text.includes(form), `${form} in ${text}`);
    }
  }
  // Base64 of a packed key shifts the bytes: no three of its four alignments may be there either.
  for (const shift of [1, 2]) {
    const inner = Buffer.from("x".repeat(shift) + "the-key-7391").toString("base64").slice(4, -4);
    assert.ok(!text.includes(inner), inner);
  }
  return JSON.parse(text);
}

test("nothing of values, keys, credentials and foreign words is in it, and what happened is", async () => {
  const relay = new PlainRelay();
  const a = await device(relay, T, { remoteId: "wss://the-user-7391:the-token-7391@example.test/sync?token=the-token-7391" });
  await a.db.exec("CREATE TRIGGER no BEFORE INSERT ON t WHEN new.id = 'x' BEGIN SELECT RAISE(ABORT, 'the-trigger-7391'); END");
  await ready(a);
  relay.inject(push([]));
  await a.db.exec("INSERT INTO t VALUES ('the-key-7391', 'the-value-7391', NULL)");
  await a.client.waitForSynced({ level: "sent" });
  const pk = Buffer.concat([Buffer.from([1, 0x0b, 1]), Buffer.from("x")]).toString("hex");
  relay.inject(push([row({ pk, val: "the-value-7391" }), row({ table: "unknown", val: "the-value-7391" })]));
  relay.inject({ type: "sync_push", version: 1, siteId: "the-word-7391", timestamp: 0, payload: {} });
  // A stranger says it once only, and the connection is about to go.
  await until(() => a.client.status.quarantined === 2 && a.errors.length === 1, "it was heard");
  const { send } = a.transport;
  a.transport.send = () => {
    a.transport.send = send;
    throw new Error("the-token-7391");
  };
  await a.db.exec("UPDATE t SET a = 'more of the-value-7391'");
  await until(() => a.errors.length === 2, "all of it has happened");
  const report = pasted(await a.client.exportDiagnostics());
  assert.match(report.version, /^\d+\.\d+\.\d+$/);
  assert.equal(report.role, "leader");
  assert.ok(Math.abs(report.at - Date.now()) < 60_000);
  assert.equal(report.options.remoteId, "wss://example.test/sync");
  assert.equal(report.options.batchChanges, 5000);
  assert.deepEqual([report.transport.name, report.transport.protocol], [undefined, "relay"], "a name of the app's own is its own");
  assert.equal(report.status.quarantined, 2);
  const { database } = report;
  assert.equal(database.sqlite, "3.44.0");
  assert.ok(database.crsqlite > 0);
  assert.deepEqual(database.replicated, ["t"]);
  assert.deepEqual(database.quarantine, { refused: 1, "unknown-table": 1 });
  assert.equal(database.runs.length, 1);
  assert.ok(database["db.high"] >= 1 && database["schema-version"] > 0);
  const sent = report.frames.find(({ type, direction }) => type === "sync_push" && direction === "sent");
  assert.deepEqual(sent.rows, { t: 2 });
  assert.ok(sent.bytes > 100 && sent.at > 0 && sent.currentVersion >= sent.baseVersion);
  const received = report.frames.find(({ direction, rows }) => direction === "received" && rows);
  assert.deepEqual(received.rows, { t: 1, unknown: 1 });
  assert.deepEqual(report.errors.map(({ code }) => code).sort(), ["malformed-message", "not-connected"]);
  assert.ok(report.errors.every(({ at, message }) => at > 0 && message));
  await stop(a);
});

test("the words of a server and its cursor are not in it, its status is", async () => {
  const server = new Records();
  const a = await start(server, {
    methods: {
      async pull() {
        return { changes: [], cursor: { secret: "the-cursor-7391" }, hasMore: false };
      },
    },
  });
  await a.client.waitForFirstSync();
  server.refuse = () => "the-word-7391 is not allowed";
  await a.db.exec("INSERT INTO t VALUES (1, 'the-value-7391', 1, NULL)");
  await until(() => a.client.status.rejected > 0, "it is refused");
  server.before = () => Object.assign(new Error("the-word-7391"), { status: 503 });
  await a.db.exec("INSERT INTO t VALUES (2, 'the-value-7391', 1, NULL)");
  await until(() => a.errors.length > 1, "it fails");
  const report = pasted(await a.client.exportDiagnostics());
  assert.ok(report.database.rejected.refused > 0);
  const log = Object.entries(report.database).find(([key]) => key.startsWith("log/"))[1];
  assert.equal(log.cursor, true);
  assert.ok(report.errors.every(({ message, withheld }) => message === undefined && withheld > 0), JSON.stringify(report.errors));
  assert.ok(report.errors.some(({ status }) => status === 503));
  const kinds = new Set(report.frames.map(({ type }) => type));
  assert.deepEqual([...kinds].sort(), ["call_failed", "pull", "pull_result", "push", "push_result"]);
  assert.deepEqual(report.frames.find(({ type }) => type === "push").rows, { t: 3 });
  await stop(a);
});

test("it works before the start, after the stop, while the app holds a transaction, and on a closed database", async () => {
  const relay = new PlainRelay();
  const a = await device(relay, T, { start: false });
  const before = pasted(await a.client.exportDiagnostics());
  assert.deepEqual([before.role, before.status.state, before.frames], ["stopped", "stopped", []]);
  assert.equal(before.database.sqlite, "3.44.0");
  await a.client.start();
  await ready(a);
  await until(async () => (await a.client.exportDiagnostics()).frames.length > 0, "it has asked");
  await a.db.exec("BEGIN");
  assert.equal((await a.client.exportDiagnostics()).database, "database-busy");
  await a.db.exec("COMMIT");
  await a.client.stop();
  const after = pasted(await a.client.exportDiagnostics());
  assert.equal(after.role, "stopped");
  assert.ok(after.frames.length > 0, "what happened before is what is wanted");
  await a.db.close(); // nothing of ours is left that would hinder it
  assert.equal((await a.client.exportDiagnostics()).database, "database-closed");
});

test("a database that does not answer is part of the report", async () => {
  const relay = new PlainRelay();
  const a = await device(relay, T);
  await ready(a);
  let release;
  const held = a.db.tx(() => new Promise((done) => (release = done)));
  await until(() => release, "the app is inside");
  assert.equal((await a.client.exportDiagnostics()).database, "no-answer");
  release();
  await held;
  assert.equal((await a.client.exportDiagnostics()).database.sqlite, "3.44.0");
  await stop(a);
});

test("a tab that follows reports as one", async () => {
  const relay = new PlainRelay();
  const first = await device(relay, T, { name: "tabs-report.db" });
  const second = await device(relay, [], { db: await open("tabs-report.db") });
  const report = pasted(await second.client.exportDiagnostics());
  assert.deepEqual([report.role, report.status.state], ["standby", "standby"]);
  assert.deepEqual(report.database.replicated, ["t"]);
  await stop(second, first);
  await second.db.close();
  await first.db.close();
});

test("it remembers the last 50 messages and errors, however many there were", async () => {
  const relay = new PlainRelay();
  const a = await device(relay, T);
  await ready(a);
  for (let n = 0; n < 90; n++) relay.inject({ type: "sync_push", version: n + 2, siteId: "AAAA", timestamp: 0, payload: {} });
  for (let n = 0; n < 70; n++) relay.inject(push([row({ pk: "010b0178", val: n, col_version: n + 1 })]));
  await until(async () => (await a.db.execA("SELECT a FROM t"))[0]?.[0] === 69, "the last one arrives");
  const report = pasted(await a.client.exportDiagnostics());
  assert.equal(report.frames.length, 50);
  assert.equal(report.errors.length, 50);
  assert.match(report.errors.at(-1).message, /91/);
  await stop(a);
});

test("a transport with a token in its address tells neither", async () => {
  const server = await serve({ token: "the-token-7391" });
  const a = await started(over.WS(server, { token: "the-token-7391" }), { remoteId: undefined });
  await a.db.exec("INSERT INTO notes VALUES (1, 'the-value-7391', 1.5)");
  await a.client.waitForSynced();
  const report = pasted(await a.client.exportDiagnostics());
  assert.deepEqual([report.transport.name, report.transport.state], ["websocket", "open"]);
  await stop(a);
  assert.ok(new SyncClient({ db: a.db, transport: a.transport }));
});
