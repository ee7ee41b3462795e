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
