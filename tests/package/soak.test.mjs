// Thousands of real reconnects: what they take they give back. Wasm memory, timers and listeners stay where they were.
import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { after, before, test } from "node:test";
import { WebSocket, WebSocketServer } from "ws";
import { load, wasm } from "./installed.mjs";

const [WARM_UP, RECONNECTS] = [100, 1500];
const page = JSON.stringify({ changes: [], cursor: null, hasMore: false });

globalThis.WebSocket = WebSocket;
/** What a page would have; a listener that stays behind stays here. */
const listeners = new Set();
const target = {
  addEventListener: (kind, listener) => listeners.add(`${kind} ${numberOf(listener)}`),
  removeEventListener: (kind, listener) => listeners.delete(`${kind} ${numberOf(listener)}`),
};
const numbers = new Map();
const numberOf = (listener) => numbers.get(listener) ?? (numbers.set(listener, numbers.size), numbers.size - 1);
Object.assign(globalThis, target, { document: { ...target, visibilityState: "visible" } });

let memory;
let WsTransport;
let server;
let turn = 0;
before(async () => {
  const { Instance } = WebAssembly;
  WebAssembly.Instance = function observed(...args) {
    const made = new Instance(...args);
    memory = made.exports.memory;
    return made;
  };
  const crsqliteSync = await load("crsqlite-sync");
  crsqliteSync.initSync(wasm());
  WebAssembly.Instance = Instance;
  ({ WsTransport } = crsqliteSync);

  server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  server.on("connection", (socket) => socket.on("message", (data) => {
    const { requestId } = JSON.parse(String(data));
    // One request is answered, which proves health; the next one is lost with its connection.
    if (Number(requestId.split("_")[1]) % 2 === 1) {
      return socket.send(`{"type":"pull_result","requestId":"${requestId}","payload":${page}}`);
    }
    const ends = [() => socket.close(1012), () => socket.terminate(), () => socket.close(1013, "retryAfter=1")];
    ends[(turn += 1) % ends.length]();
  }));
  await new Promise((resolve) => server.once("listening", resolve));
});
after(() => {
  for (const socket of server.clients) socket.terminate();
  server.close();
});

/** Waits until the other end knows of every close too: `ws` has timers of its own until then. */
async function quiet(clients) {
  while (server.clients.size > clients) await new Promise(setImmediate);
  for (let n = 0; n < 20; n += 1) await new Promise(setImmediate);
}
const measured = () => ({
  memory: memory.buffer.byteLength,
  timers: process.getActiveResourcesInfo().filter((name) => name === "Timeout").length,
  listeners: listeners.size,
});

test(`${RECONNECTS} reconnects leave memory, timers and listeners where they were`, { timeout: 60_000 }, async (t) => {
  const { signal } = new AbortController();
  const url = `ws://127.0.0.1:${server.address().port}`;
  const transport = new WsTransport({ url, reconnectIntervalMs: 1, maxReconnectAttempts: 0 });
  t.after(() => transport.disconnect());
  const idle = measured();

  let opens = 0;
  const reach = (count) => new Promise((resolve) => {
    const stop = transport.onStateChange(({ state }) => {
      if (state === "waiting") return setImmediate(() => transport.state === "waiting" && transport.reconnect());
      if (state !== "open") return undefined;
      opens += 1;
      if (opens >= count) return setImmediate(() => resolve(stop()));
      for (let n = 0; n < 2; n += 1) transport.pull({ signal }).catch(() => {});
      return opens % 5 === 0 && transport.reconnect();
    });
    transport.reconnect();
  });

  await reach(WARM_UP);
  await quiet(1);
  const warm = measured();
  await reach(WARM_UP + RECONNECTS);
  await quiet(1);
  assert.deepEqual(measured(), warm);
  await transport.disconnect();
  await quiet(0);
  assert.deepEqual({ ...measured(), memory: 0 }, { ...idle, memory: 0 });
  assert.equal(getEventListeners(signal, "abort").length, 0);
});
