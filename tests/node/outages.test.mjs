// What a client tells of a relay that cannot be reached or does not want it, over the package's own transport on a fake
// network: the reason in the status, and one error event for each outage.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { pathToFileURL } from "node:url";
import { resolve } from "node:path";
import { openWith } from "./database.mjs";
import { device, until } from "./harness.mjs";

const folder = process.env.CRSQLITE_SYNC_PKG ?? resolve(import.meta.dirname, "../../pkg");
const load = (file) => import(pathToFileURL(resolve(folder, file)).href);
const { WsTransport } = await load("index.js");
const { FakeNetwork } = await load("testing.js");

const T = ["CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, a, b)"];
const url = "wss://user:secret@example.test/api/v1/sync?token=secret";
let network, at;

afterEach(async () => {
  await at?.client.stop();
  network.uninstall();
});

/** A device whose sockets do what `onSocket` says. */
async function over(onSocket, options = {}, clientOptions = {}) {
  const db = await openWith(T); // which may fetch its wasm
  network = new FakeNetwork().install();
  network.onSocket = onSocket;
  const transport = new WsTransport({ url, protocol: "relay", reconnectIntervalMs: 5, ...options });
  at = await device(undefined, T, { db, transport, start: false, ...clientOptions });
  at.statuses = [];
  at.client.on("status", (status) => at.statuses.push(status));
  await at.client.start();
  return at;
}
const soon = (deed) => (socket) => queueMicrotask(() => deed(socket));
const refuse = soon((socket) => socket.refuse());
const accept = soon((socket) => socket.accept());
const codes = ({ errors }) => errors.map(({ code }) => code);

test("a relay that cannot be reached is told once, with its address and without what is secret in it", async () => {
  const { client, errors } = await over(refuse);
  await until(() => network.sockets.length > 5);
  assert.equal(errors.length, 1);
  assert.deepEqual([errors[0].code, errors[0].retryable], ["connect-failed", true]);
  assert.match(errors[0].message, /wss:\/\/example\.test\/api\/v1\/sync: is it running, and is this its path\?$/);
  assert.deepEqual([client.status.state, client.status.reason], ["connecting", "connect-failed"]);
  const waiting = at.statuses.find(({ retryAt }) => retryAt !== undefined);
  assert.equal(waiting.reason, "connect-failed");
  const again = at.statuses.slice(at.statuses.indexOf(waiting));
  assert.ok(again.every(({ reason }) => reason === "connect-failed"), "also while it tries");

  network.onSocket = accept;
  await until(() => client.status.state === "catching-up");
  assert.equal(client.status.reason, undefined);
  network.onSocket = refuse;
  network.socket.drop();
  await until(() => errors.length === 2, "the next outage is told again");
});

test("two failed attempts are no outage", async () => {
  let made = 0;
  const { client, errors } = await over((socket) => (++made < 3 ? refuse : accept)(socket));
  await until(() => client.status.state === "catching-up");
  assert.deepEqual([made, errors], [3, []]);
});

test("what url() or headers() throws is told once, and tried again", async () => {
  for (const [fails, options] of [
    ["url", {}],
    ["headers", { protocol: "push-pull" }],
  ]) {
    for (const fail of [
      (thrown) => {
        throw thrown;
      },
      (thrown) => Promise.reject(thrown),
    ]) {
      const thrown = new Error("boom");
      let asked = 0;
      const { client, errors } = await over(accept, {
        ...options,
        [fails]: () => (++asked < 6 ? fail(thrown) : fails === "url" ? url : {}),
      });
      await until(() => asked === 6 && at.transport.state === "open");
      assert.deepEqual([codes(at)[0], errors[0].retryable, errors[0].cause], ["connect-failed", true, thrown]);
      assert.equal(codes(at).filter((code) => code === "connect-failed").length, 1);
      await client.stop();
      network.uninstall();
    }
  }
});

test("what is written while the socket closes is no overflow: its close code says why", async () => {
  const { client, db, errors } = await over(accept);
  await until(() => client.status.state === "catching-up");
  network.socket.client.readyState = 2;
  await db.exec("INSERT INTO t VALUES (1, 'one', NULL)");
  const sent = client.waitForSynced({ level: "sent", signal: AbortSignal.timeout(150) });
  await assert.rejects(sent, { name: "TimeoutError" });
  assert.deepEqual(errors, []);
  network.socket.drop(4001, "expired");
  await until(() => client.status.state === "needs-auth");
  assert.deepEqual([codes(at), network.sockets.length], [["needs-auth"], 1]);
});

test("a socket that closes and never says so is replaced", async () => {
  const { client, db, errors } = await over(accept);
  await until(() => client.status.state === "catching-up");
  network.socket.client.readyState = 2;
  await db.exec("INSERT INTO t VALUES (1, 'one', NULL)");
  await until(() => network.sockets.length === 2, "within the two seconds that it has");
  assert.deepEqual(errors, []);
});

test("a refusal is final only when the app has nothing new to show, and is told with the server's words", async () => {
  for (const asks of ["transport", "client"]) {
    let answer;
    const onAuthRequired = () => new Promise((resolve, reject) => (answer = { resolve, reject }));
    const given = { onAuthRequired };
    const { client, errors } = await over(accept, asks === "transport" ? given : {}, asks === "client" ? given : {});
    await until(() => client.status.state === "catching-up");
    network.socket.close(4001, "token expired");
    await until(() => answer !== undefined);
    assert.deepEqual([client.status.state, client.status.reason], ["connecting", "unauthenticated"], asks);
    answer.resolve();
    await until(() => network.sockets.length === 2 && client.status.state === "catching-up");
    assert.ok(at.statuses.every(({ state }) => state !== "needs-auth"), asks);
    assert.deepEqual(errors, []);
    network.socket.close(4001, "revoked");
    await until(() => client.status.state === "needs-auth");
    assert.deepEqual(
      errors.map(({ code, message, closeCode }) => [code, message, closeCode]),
      [["needs-auth", "the server refuses the credentials: revoked", 4001]],
    );
    await client.stop();
    network.uninstall();
  }
});

test("where the app fails to get new credentials the state says so", async () => {
  const why = new Error("signed out");
  const { client, errors } = await over(accept, {}, { onAuthRequired: () => Promise.reject(why) });
  await until(() => client.status.state === "catching-up");
  network.socket.close(4001, "expired");
  await until(() => at.statuses.at(-1).state === "needs-auth");
  assert.deepEqual([client.status.state, codes(at), errors[0].cause], ["needs-auth", ["needs-auth"], why]);
});

test("a server that closes for good is told with its words, once", async () => {
  const { client, errors } = await over(accept);
  await until(() => client.status.state === "catching-up");
  network.socket.close(1008, "origin not allowed");
  await until(() => client.status.state === "failed");
  assert.deepEqual(
    errors.map(({ code, message, closeCode }) => [code, message, closeCode]),
    [["gave-up", "the transport has failed: policy-violation: origin not allowed", 1008]],
  );
  assert.equal(client.status.reason, "policy-violation");
});
