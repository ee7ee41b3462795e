// SyncClient over our transports, where a server takes one request and refuses the next, or nobody is there at all.
import assert from "node:assert/strict";
import { test } from "node:test";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { openWith } from "./database.mjs";
import { device, until } from "./harness.mjs";

const folder = process.env.CRSQLITE_SYNC_PKG ?? resolve(import.meta.dirname, "../../pkg");
const { HttpTransport, WsTransport } = await import(pathToFileURL(resolve(folder, "index.js")).href);

const T = ["CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, a, b REAL, c TEXT)"];
await openWith(T); // SQLite's own wasm is fetched before `fetch` is replaced

/** Replaces one thing of the global for the time of a test. */
function replace(t, name, value) {
  const real = globalThis[name];
  globalThis[name] = value;
  t.after(() => (globalThis[name] = real));
}
const empty = { changes: [], cursor: "1", hasMore: false };
const start = async (t, transport, options) => {
  const made = await device(null, T, { transport, start: false, ...options });
  t.after(() => made.client.stop());
  await made.client.start();
  return made;
};
/** Lets everything happen that is about to, and some of what would go on for ever. */
const calm = () => new Promise((wake) => setTimeout(wake, 1_500));

test("HTTP: a server that serves pulls and refuses pushes is left alone after a few questions", async (t) => {
  const counts = { HEAD: 0, push: 0, pull: 0 };
  replace(t, "fetch", async (url, { method }) => {
    const kind = method === "HEAD" ? method : /\/(push|pull)/.exec(url)[1];
    counts[kind] += 1;
    // A pull is under way when the push is refused.
    await new Promise((wake) => setTimeout(wake, kind === "push" ? 5 : 15));
    return kind === "push" ? new Response("no", { status: 401 }) : Response.json(empty);
  });
  let asked = 0;
  const transport = new HttpTransport({ url: "https://sync.example", onAuthRequired: () => void (asked += 1) });
  const a = await start(t, transport, { onAuthRequired: () => void (asked += 1) });
  await a.db.exec("INSERT INTO t (id, a) VALUES (1, 'one')");
  await until(() => asked > 0, "the app is asked");
  await calm();
  // Two whom to ask, each no more than three times.
  assert.ok(asked <= 6, `${asked} questions`);
  assert.ok(counts.push + counts.pull + counts.HEAD < 30, JSON.stringify(counts));
});

test("HTTP: where HEAD fails and all else works, one HEAD is enough", async (t) => {
  let heads = 0;
  replace(t, "fetch", async (url, { method, body }) => {
    if (method === "HEAD") {
      heads += 1;
      throw new TypeError("Failed to fetch");
    }
    if (!url.includes("/push")) return Response.json(empty);
    const accepted = JSON.parse(body).changes.map(({ id }) => ({ id, serverTimestamp: "" }));
    return Response.json({ accepted, conflicts: [], errors: [] });
  });
  const a = await start(t, new HttpTransport({ url: "https://sync.example" }));
  for (let turn = 0; turn < 3; turn++) await a.client.syncNow();
  assert.equal(heads, 1);
});

/** A socket that `behave` brings up, answers and closes. */
const socket = (behave) => class {
  constructor() {
    this.readyState = 0;
    behave.made(this);
  }
  opened() {
    this.readyState = 1;
    this.onopen?.({});
  }
  closed(code) {
    this.readyState = 3;
    this.onclose?.({ code, reason: "" });
  }
  send(frame) {
    behave.sent?.(this, JSON.parse(frame));
  }
  close() {}
};

test("WS: a server that serves one request and then refuses is not asked about for ever", async (t) => {
  let [made, asked] = [0, 0];
  replace(t, "WebSocket", socket({
    made: (it) => {
      made += 1;
      setTimeout(() => it.opened(), 2);
    },
    sent: (it, { type, requestId }) => {
      if (type !== "pull") return;
      it.onmessage?.({ data: JSON.stringify({ type: "pull_result", requestId, payload: empty }) });
      setTimeout(() => it.closed(4001), 2);
    },
  }));
  const a = await start(t, new WsTransport({ url: "ws://sync.example", onAuthRequired: () => void (asked += 1) }));
  await until(() => a.client.status.state === "needs-auth" && asked > 1, "it is refused again and again");
  await calm();
  assert.ok(asked <= 3 && made <= 4, `${asked} questions, ${made} sockets`);
});

test("WS: syncNow revives a transport that has given up, and says so when it gives up again", async (t) => {
  let made = 0;
  replace(t, "WebSocket", socket({
    made: (it) => {
      made += 1;
      queueMicrotask(() => it.closed(1006));
    },
  }));
  const a = await start(t, new WsTransport({ url: "ws://sync.example", reconnectIntervalMs: 1, maxReconnectAttempts: 2 }));
  await until(() => a.client.status.state === "failed", "it gives up");
  const before = made;
  await assert.rejects(a.client.syncNow(), { code: "gave-up", retryable: true });
  assert.ok(made > before);
});
