// SyncClient over HttpTransport and WsTransport, and what becomes of real servers: they go, forget, lose answers, ask
// for patience, and refuse credentials. Nothing is lost, and the status says how it is.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ContractStore } from "../contract/store.mjs";
import { until } from "./harness.mjs";
import { again, alike, clocked, codes, over, serve, started, stop } from "./served.mjs";

const insert = ({ db }, id) => db.exec(`INSERT INTO notes VALUES (${id}, 'note ${id}', ${id}.5)`);
const ids = async ({ db }) => (await db.execA("SELECT id FROM notes ORDER BY id")).flat();
const both = async (server, kind, options) => [await started(over[kind](server), options), await started(over[kind](server), options)];
/** Whole rounds, one device after the other. */
const rounds = async (...devices) => {
  for (const { client } of [...devices, ...devices]) await client.syncNow();
};

for (const [kind, reference] of [["POST", false], ["GET", false], ["WS", false], ["POST", true], ["WS", true]]) {
  const where = reference ? "the reference server" : "the server";
  test(`${kind}: ${where} is killed, both write, and it comes back as it was`, async () => {
    const server = await serve({ reference });
    const [a, b] = await both(server, kind);
    await insert(a, 1);
    await alike(a, b);
    const before = a.client.status.lastSyncedAt;
    await server.stop();
    await until(() => [a, b].every(({ client }) => client.status.state === "connecting"), "the loss is noticed");
    const [silent, noticed] = [Date.now(), a.statuses.length];
    await insert(a, 2);
    await b.db.exec("UPDATE notes SET body = 'changed' WHERE id = 1");
    await until(() => a.client.status.pendingChanges === 2 && b.client.status.pendingChanges === 1, "what waits is counted");
    assert.ok(a.client.status.oldestPendingAt >= silent && a.client.status.oldestPendingAt <= Date.now());
    assert.ok(a.statuses.slice(noticed).every(({ state }) => state === "connecting"));
    const revived = await again(server);
    await alike(a, b);
    assert.deepEqual(await ids(b), [1, 2]);
    assert.equal(revived.store.changes.length, 5, "nothing is booked twice, and the change beside what it changes");
    assert.ok(a.client.status.lastSyncedAt > before && a.client.status.lastSyncedAt <= Date.now());
    assert.equal(a.client.status.oldestPendingAt, undefined);
    await stop(a, b);
    assert.equal(a.client.status.state, "stopped");
  });
}

for (const [kind, reference] of [["POST", false], ["WS", false], ["POST", true]]) {
  const where = reference ? "the reference server" : "a server";
  test(`${kind}: ${where} that comes back with an old backup is filled again by itself`, async () => {
    const server = await serve({ reference });
    const [a, b] = await both(server, kind);
    await insert(a, 1);
    await alike(a, b);
    await insert(b, 2);
    await alike(a, b);
    await rounds(a, b);
    await server.stop();
    const backup = new ContractStore();
    backup.push(server.store.changes.slice(0, 2));
    const revived = await again(server, backup);
    await until(() => revived.store.changes.length === 4, "what was lost is sent again");
    await alike(a, b, await started(over[kind](revived)));
    assert.ok([...codes(a), ...codes(b)].includes("remote-reset"));
    await stop(a, b);
  });
}

test("a server that comes back with nothing is filled again by resync on any device", async () => {
  const server = await serve();
  const [a, b] = await both(server, "WS");
  await insert(a, 1);
  await insert(b, 2);
  await alike(a, b);
  await server.stop();
  const revived = await again(server, new ContractStore());
  await b.client.resync();
  assert.equal(revived.store.changes.length, 4, "with what the others had written");
  const c = await started(over.POST(revived));
  await alike(a, b, c);
  await insert(c, 3);
  await alike(a, b, c);
  await stop(a, b, c);
});

for (const kind of ["POST", "GET"]) {
  test(`${kind}: a server that refuses the cursor of another log is shown as failed until resync`, async () => {
    const server = await serve({ unknownCursor: "refuse" });
    const a = await started(over[kind](server));
    await insert(a, 1);
    await alike(a);
    await rounds(a);
    await server.stop();
    const revived = await again(server, new ContractStore());
    await until(() => a.client.status.state === "failed", "the refusal is shown");
    assert.ok(codes(a).includes("http-status"));
    await a.client.resync();
    assert.equal(revived.store.changes.length, 2);
    await insert(a, 2);
    await alike(a, await started(over[kind](revived)));
    await stop(a);
  });
}

test("answers that are lost after the server has stored what they answer cost nothing but time", async () => {
  const server = await serve({ loseEvery: 4, pageSize: 7 });
  const options = { batchChanges: 6, pullIntervalMs: 500 };
  const [a, b] = [await started(over.POST(server), options), await started(over.WS(server), options)];
  for (let id = 1; id <= 12; id++) await insert(id % 2 ? a : b, id);
  const changes = await alike(a, b);
  assert.equal(changes.length, 24);
  assert.equal(server.store.changes.length, 24);
  await stop(a, b);
});

for (const [form, after] of Object.entries({ seconds: () => "2", "a date": () => new Date(Date.now() + 2_500).toUTCString() })) {
  test(`nothing is asked before the time that a 429 states as ${form}, though there is more to send`, async () => {
    const server = await serve();
    const a = await started(over.POST(server));
    await a.client.waitForFirstSync();
    const asked = clocked(server);
    const retryAfter = after();
    Object.assign(server.options, { limitEvery: 1, retryAfter });
    await until(() => a.errors.length > 0, "the refusal is told");
    const refused = asked.length;
    server.options.limitEvery = 0;
    const due = form === "seconds" ? asked.at(-1).at + 2_000 : Date.parse(retryAfter);
    assert.equal(a.client.status.state, "connecting");
    assert.ok(Math.abs(a.client.status.retryAt - due) < 1_000, `${a.client.status.retryAt - due}`);
    await insert(a, 1);
    await until(() => a.client.status.pendingChanges === 2, "what waits is counted");
    await a.client.waitForSynced();
    assert.ok(asked[refused].at >= due - 5, `asked ${due - asked[refused].at} ms too early`);
    await alike(a);
    assert.equal(a.client.status.retryAt, undefined);
    assert.deepEqual(codes(a), ["rate-limited"]);
    await stop(a);
  });
}

/** The server takes another token from now on, and ends what was opened with the old one. */
function expire(server, token) {
  server.options.token = token;
  for (const socket of server.sockets) socket.close(4001, "token expired");
}

for (const kind of ["POST", "GET", "WS"]) {
  for (const asks of ["transport", "client"]) {
    test(`${kind}: the ${asks} asks once for what replaces an expired token`, async () => {
      const server = await serve({ token: "first" });
      const app = { token: "first" };
      let times = 0;
      const onAuthRequired = async () => {
        times += 1;
        await new Promise((wake) => setTimeout(wake, 30)); // a while, so that other requests are refused meanwhile
        app.token = server.options.token;
      };
      if (asks === "transport") app.onAuthRequired = onAuthRequired;
      const a = await started(over[kind](server, app), asks === "client" ? { onAuthRequired } : {});
      // It knows every token at once; a request that was under way with the one before is sent again.
      const b = await started(over.POST(server, { get token() { return server.options.token; }, onAuthRequired() {} }));
      await insert(b, 1);
      await alike(a, b);
      for (const [turn, token] of ["second", "third"].entries()) {
        expire(server, token);
        await insert(a, 2 + turn);
        await alike(a, b);
        assert.equal(times, turn + 1);
      }
      if (asks === "transport" && kind !== "WS") assert.ok(a.statuses.every(({ state }) => state !== "needs-auth"));
      await stop(a, b);
    });
  }
}

for (const [kind, heal] of [["POST", "reconnect"], ["POST", "syncNow"], ["WS", "reconnect"], ["WS", "syncNow"]]) {
  test(`${kind}: credentials that are refused again are shown, nobody is asked on, and ${heal} heals it`, async () => {
    const server = await serve({ token: "first" });
    let times = 0;
    const app = { token: "first", onAuthRequired: () => void (times += 1) };
    const a = await started(over[kind](server, app));
    await a.client.waitForFirstSync();
    const asked = clocked(server);
    expire(server, "second");
    await insert(a, 1);
    await until(() => a.client.status.state === "needs-auth", "the refusal is shown");
    assert.equal(a.client.status.reason, "unauthenticated");
    await until(() => times === 1 && a.client.status.pendingChanges === 2, "it is told what waits");
    // Five times as long as it takes for the next pull.
    let calls;
    do {
      calls = asked.length;
      await new Promise((wake) => setTimeout(wake, 500));
    } while (asked.length > calls && asked.length < 10);
    assert.ok(asked.length < 10, `${asked.length} requests`);
    assert.equal(a.client.status.state, "needs-auth");
    assert.equal(times, 1);
    app.token = "second";
    if (heal === "syncNow") await a.client.syncNow();
    else a.transport.reconnect();
    await alike(a);
    assert.equal(server.store.changes.length, 2);
    assert.equal(times, 1);
    await stop(a);
  });
}

test("a device without a network says so, and goes on when it has one", async () => {
  const server = await serve();
  const a = await started(over.POST(server));
  await insert(a, 1);
  await alike(a);
  await server.stop();
  navigator.onLine = false;
  try {
    await until(() => a.client.status.state === "offline", "it is offline");
    assert.equal(a.client.status.reason, "offline");
  } finally {
    navigator.onLine = true;
  }
  await again(server);
  await insert(a, 2);
  await alike(a);
  await stop(a);
});
