// The contract of WsTransport, sentence by sentence: reconnecting and disconnecting.
import assert from "node:assert/strict";
import { test } from "node:test";
import { answer, change, errorOf, make, network, on, opened, page, tick } from "./contract.mjs";

// -------------------------------------------------------------------------------------------- reconnecting

test("the waits grow by half within their jitter", async () => {
  const transport = make();
  transport.connect();
  for (const nominal of [3000, 4500, 6750, 10125]) {
    network.socket.drop();
    const wait = transport.status.retryAt - Date.now();
    assert.ok(wait >= nominal * 0.75 && wait <= nominal * 1.25 + 1, `${wait} for ${nominal}`);
    const before = network.sockets.length;
    tick(Math.floor(wait) - 2);
    assert.equal(network.sockets.length, before);
    tick(4);
    assert.equal(network.sockets.length, before + 1);
  }
});

test("no wait is longer than five minutes, jitter and all", () => {
  const transport = make({ maxReconnectAttempts: 0, reconnectIntervalMs: 60_000 });
  transport.connect();
  const waits = [];
  for (let turn = 0; turn < 30; turn += 1) {
    network.socket.drop();
    waits.push(transport.status.retryAt - Date.now());
    tick(300_001);
  }
  assert.ok(waits.every((wait) => wait <= 300_001), String(waits));
  // The jitter comes before the cap: most of the late waits are the cap itself.
  assert.ok(waits.slice(6).filter((wait) => wait >= 299_999).length > 12, String(waits));
});

test("the jitter differs from wait to wait", () => {
  const waits = new Set();
  for (let turn = 0; turn < 8; turn += 1) {
    const transport = make();
    transport.connect();
    network.socket.drop();
    waits.add(Math.round(transport.status.retryAt - Date.now()));
  }
  assert.ok(waits.size > 1);
});

test("ten attempts are made where no limit was given, and giving up is told", () => {
  const transport = make();
  const heard = [];
  transport.onStateChange(({ state, reason }) => heard.push(`${state} ${reason}`));
  transport.connect();
  for (let turn = 0; turn < 12; turn += 1) {
    network.socket.drop();
    tick(300_001);
  }
  assert.equal(network.sockets.length, 11);
  assert.equal(heard.at(-1), "failed gave-up");
});

test("opening alone is no proof of health: the waits go on growing", async () => {
  const transport = await opened({ maxReconnectAttempts: 0 });
  const waits = [];
  for (let turn = 0; turn < 6; turn += 1) {
    network.socket.drop();
    waits.push(transport.status.retryAt - Date.now());
    tick(300_001);
    network.socket.accept();
  }
  assert.ok(waits.at(-1) > 2 * waits[0], String(waits));
});

test("a WebSocket that throws is an attempt that counts", () => {
  network.onSocket = () => { throw new Error("no"); };
  const transport = make({ maxReconnectAttempts: 2 });
  transport.connect();
  for (let turn = 0; turn < 3; turn += 1) tick(300_001);
  assert.deepEqual([transport.state, transport.status.reason], ["failed", "gave-up"]);
});

test("connect while it waits opens at once, and never a second socket", async () => {
  const transport = await opened();
  network.socket.drop();
  const connecting = transport.connect();
  assert.equal(network.sockets.length, 2);
  tick(5000);
  assert.equal(network.sockets.filter(({ readyState }) => readyState < 2).length, 1);
  network.sockets.at(-1).accept();
  await connecting;
});

test("headers are sent anew after every open", async () => {
  await opened({ headers: { token: "t" } });
  network.socket.drop();
  tick(3751);
  network.socket.accept();
  assert.deepEqual(network.sockets.map(({ frames }) => frames[0]?.type), ["auth", "auth"]);
});

test("a server that accepts and closes is given up after the limit", async () => {
  const transport = await opened({ maxReconnectAttempts: 3 });
  for (let turn = 0; turn < 3; turn += 1) {
    network.socket.drop();
    tick(300_000);
    network.socket.accept();
  }
  network.socket.drop(1011);
  const { state, reason, closeCode } = transport.status;
  assert.deepEqual({ state, reason, closeCode }, { state: "failed", reason: "gave-up", closeCode: 1011 });
  tick(3_600_000);
  assert.equal(network.sockets.length, 4);
});

test("connect revives a transport that gave up", async () => {
  const transport = make({ maxReconnectAttempts: 1 });
  transport.connect();
  network.socket.drop();
  tick(300_000);
  network.socket.drop();
  assert.equal(transport.state, "failed");
  const connecting = transport.connect();
  network.socket.accept();
  await connecting;
  network.socket.drop();
  assert.equal(transport.state, "waiting");
});

test("an answered request brings the backoff back to its start", async () => {
  const transport = await opened({ maxReconnectAttempts: 0 });
  for (let turn = 0; turn < 6; turn += 1) {
    network.socket.drop();
    tick(300_000);
    network.socket.accept();
  }
  const pulling = transport.pull();
  answer(network.socket.frames[0], page);
  await pulling;
  network.socket.drop();
  assert.ok(transport.status.retryAt - Date.now() <= 3751);
});

test("maxReconnectAttempts 0 tries for ever", () => {
  make({ maxReconnectAttempts: 0 }).connect();
  for (let turn = 0; turn < 50; turn += 1) {
    network.socket.drop();
    tick(300_001);
  }
  assert.equal(network.sockets.length, 51);
});

test("close codes 4001 and 4401 wait for a new token, until reconnect", async () => {
  for (const code of [4001, 4401]) {
    const transport = await opened();
    const made = network.sockets.length;
    network.socket.drop(code, "expired");
    assert.deepEqual({ ...transport.status },
      { state: "needs-auth", reason: "unauthenticated", closeCode: code, closeReason: "expired" });
    tick(3_600_000);
    assert.equal(network.sockets.length, made);
    transport.reconnect();
    assert.equal(network.sockets.length, made + 1);
  }
});

test("a close code that says we are wrong is final", async () => {
  const transport = await opened();
  network.socket.drop(1008);
  tick(3_600_000);
  assert.deepEqual([transport.state, transport.status.reason, network.sockets.length], ["failed", "policy-violation", 1]);
});

test("a server that asks for a pause gets it", async () => {
  const transport = await opened();
  network.socket.drop(1013, "retryAfter=60000");
  assert.equal(transport.status.retryAt - Date.now(), 60_000);
});

test("reconnect ends the old socket and opens a new one at once", async () => {
  const transport = await opened();
  const first = network.socket;
  transport.reconnect();
  assert.deepEqual([first.closed?.code, first.isHeard, network.sockets.length], [1000, false, 2]);
});

test("what a dead socket says late is not heard", async () => {
  const transport = make({ protocol: "relay" });
  const heard = [];
  transport.onMessage((frame) => heard.push(frame));
  transport.connect();
  const { onopen, onmessage, onclose } = network.socket.client;
  transport.reconnect();
  for (const handler of [onopen, onmessage, onclose]) handler({ data: "late", code: 4001 });
  assert.deepEqual([heard, transport.state], [[], "connecting"]);
});

// ------------------------------------------------------------------------------------------- disconnecting

test("disconnect closes the socket, stays closed and settles without a timer", async () => {
  const transport = await opened();
  await transport.disconnect();
  tick(3_600_000);
  assert.deepEqual([network.socket.closed?.code, network.socket.isHeard, transport.state, network.sockets.length], [1000, false, "closed", 1]);
});

test("disconnect settles also when the global WebSocket is gone, and twice", async () => {
  const transport = await opened();
  delete globalThis.WebSocket;
  await transport.disconnect();
  await transport.disconnect();
});

test("disconnect while it connects rejects connect", async () => {
  const transport = make();
  const connecting = transport.connect();
  transport.disconnect();
  const error = await errorOf(connecting);
  assert.deepEqual([error.message, error.code], ["WebSocket disconnected", "disconnected"]);
});

test("a double that calls onclose from inside close changes nothing", async () => {
  on({ plain: true, closing: "at-once" });
  const transport = await opened();
  transport.reconnect();
  network.socket.accept();
  await transport.disconnect();
  assert.deepEqual([network.sockets.length, transport.state], [2, "closed"]);
});

test("it can be connected again after disconnect, and listeners are still there", async () => {
  const transport = await opened();
  const heard = [];
  transport.onServerPush((changes) => heard.push(changes.length));
  await transport.disconnect();
  transport.connect();
  network.socket.accept();
  network.socket.say({ type: "server_push", payload: [change("s1")] });
  assert.deepEqual(heard, [1]);
});
