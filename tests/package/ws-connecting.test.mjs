// The contract of WsTransport, sentence by sentence: making one, and connecting.
import assert from "node:assert/strict";
import { test } from "node:test";
import { errorOf, make, microtasks, network, on, opened, page, tick, url } from "./contract.mjs";

// ---------------------------------------------------------------------------------------------- making one

test("its name is websocket and it speaks push-pull unless told otherwise", () => {
  assert.deepEqual([make().name, make().protocol, make({ protocol: "relay" }).protocol], ["websocket", "push-pull", "relay"]);
});

test("the constructor says that the WebSocket API is missing", () => {
  delete globalThis.WebSocket;
  assert.throws(() => make(), (error) => error instanceof Error && /requires WebSocket API/.test(error.message));
});

test("the constructor refuses options that make no sense", () => {
  for (const options of [{ url: undefined }, { protocol: "smoke" }, { requestTimeoutMs: "soon" }, { reconnectIntervalMs: -1 }]) {
    assert.throws(() => make(options), { name: "SyncError", code: "bad-option" });
  }
});

test("nothing is opened before connect", () => {
  const transport = make();
  assert.deepEqual([network.sockets.length, transport.state, transport.isConnected()], [0, "idle", false]);
});

// ---------------------------------------------------------------------------------------------- connecting

test("connect makes the socket before it returns, with the address and nothing else", () => {
  make().connect();
  assert.deepEqual(network.socket.args, [url]);
});

test("an address that is a URL object reaches the constructor as it is", () => {
  const address = new URL(url);
  make({ url: address }).connect();
  assert.equal(network.socket.args[0], address);
});

test("the WebSocket of the global is looked up at each attempt", () => {
  const transport = make();
  on({ plain: true });
  transport.connect();
  assert.equal(network.sockets.length, 1);
});

test("connect resolves when the socket opens", async () => {
  const transport = await opened();
  assert.deepEqual([transport.state, transport.isConnected()], ["open", true]);
});

test("all who connect while it connects share one socket", async () => {
  const transport = make();
  const calls = [transport.connect(), transport.connect(), transport.connect()];
  network.socket.accept();
  await Promise.all(calls);
  assert.equal(network.sockets.length, 1);
});

test("connect resolves at once while it is open", async () => {
  const transport = await opened();
  await transport.connect();
  assert.equal(network.sockets.length, 1);
});

test("headers are sent as the auth frame before connect resolves", async () => {
  const transport = make({ headers: { token: "t", "x-b": "2" } });
  const connecting = transport.connect().then(() => network.socket.received.length);
  network.socket.accept();
  assert.equal(await connecting, 1);
  assert.equal(network.socket.received[0], '{"type":"auth","payload":{"token":"t","x-b":"2"}}');
});

test("without headers no auth frame is sent", async () => {
  await opened();
  await opened({ headers: {} });
  assert.deepEqual(network.sockets.map((made) => made.received), [[], []]);
});

test("address and headers may be functions, asked again at every attempt", async () => {
  let turn = 0;
  await opened({ url: () => `${url}?${(turn += 1)}`, headers: async () => ({ token: `t${turn}` }) });
  network.socket.drop();
  tick(3751);
  await microtasks();
  network.socket.accept();
  await microtasks();
  assert.deepEqual(network.sockets.map((made) => made.url), [`${url}?1`, `${url}?2`]);
  assert.deepEqual(network.sockets.map((made) => made.frames[0].payload.token), ["t1", "t2"]);
});

test("an address that is a promise is waited for", async () => {
  const transport = make({ url: async () => url });
  transport.connect();
  assert.equal(network.sockets.length, 0);
  await microtasks();
  assert.equal(network.socket.url, url);
});

test("an address function that fails is a failed attempt, with its error as the cause", async () => {
  const cause = new Error("no token");
  for (const ask of [() => { throw cause; }, () => Promise.reject(cause)]) {
    const error = await errorOf(make({ url: ask }).connect());
    assert.deepEqual([error.message, error.code, error.cause], ["WebSocket connection failed", "connect-failed", cause]);
  }
  assert.equal(network.sockets.length, 0);
});

test("an address that comes after disconnect opens nothing", async () => {
  const transport = make({ url: async () => url });
  transport.connect();
  await transport.disconnect();
  await microtasks();
  assert.equal(network.sockets.length, 0);
});

test("connect rejects when the socket fails, and tries again by itself", async () => {
  const transport = make();
  const connecting = transport.connect();
  network.socket.client.onerror({});
  const error = await errorOf(connecting);
  assert.ok(error instanceof Error);
  assert.deepEqual([error.message, error.code, error.retryable], ["WebSocket connection failed", "connect-failed", true]);
  assert.equal(transport.state, "waiting");
  tick(3751);
  assert.equal(network.sockets.length, 2);
});

test("connect rejects when the socket closes before it opens", async () => {
  const connecting = make().connect();
  network.socket.client.onclose({ code: 1006, reason: "" });
  const error = await errorOf(connecting);
  assert.deepEqual([error.message, error.closeCode], ["WebSocket connection failed", 1006]);
});

test("connect rejects when the handshake takes too long, and the socket is given up", async () => {
  const connecting = make().connect();
  const first = network.socket;
  tick(10_000);
  const error = await errorOf(connecting);
  assert.deepEqual([error.message, error.code], ["WebSocket connection timed out", "connect-timeout"]);
  assert.deepEqual([first.closed?.code, first.isHeard], [1000, false]);
});

test("a handshake that takes too long is tried again", async () => {
  const connecting = make({ connectionTimeoutMs: 500 }).connect();
  tick(500);
  assert.equal((await errorOf(connecting)).code, "connect-timeout");
  tick(3751);
  assert.equal(network.sockets.length, 2);
});

test("a constructor may return any object at all", async () => {
  const plain = { sent: [], send(frame) { this.sent.push(frame); }, close() {} };
  globalThis.WebSocket = function () { return plain; };
  const transport = make({ headers: { token: "t" } });
  const connecting = transport.connect();
  plain.onopen();
  await connecting;
  const pull = transport.pull();
  const { requestId } = JSON.parse(plain.sent[1]);
  plain.onmessage({ data: JSON.stringify({ type: "pull_result", requestId, payload: page }) });
  assert.deepEqual(await pull, page);
});

test("a WebSocket that throws when it is made counts as a failed attempt", async () => {
  const thrown = new SyntaxError("bad address");
  network.onSocket = () => { throw thrown; };
  const transport = make();
  const error = await errorOf(transport.connect());
  assert.deepEqual([error.message, error.cause, transport.state], ["WebSocket connection failed", thrown, "waiting"]);
});

test("an address that cannot be one is a bad option", () => {
  for (const wrong of [8787, true, "not a url", "wss://", "ws://host:port/"]) {
    assert.throws(() => make({ url: wrong }), { code: "bad-option" }, String(wrong));
  }
});

test("an address may be relative to the page, http or https: the browser makes a WebSocket of it", () => {
  for (const given of ["/api/v1/sync", "sync", "http://localhost:8787/api/v1/sync", "https://example.test/sync", new URL(url)]) {
    make({ url: given }).connect();
    assert.equal(network.socket.client.url, String(given));
  }
});
