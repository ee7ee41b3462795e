// Every answer of a running relay over HTTP, and every frame of its socket of the push-pull contract, is what the OpenAPI
// and AsyncAPI documents say: the status, the headers, and no field that they do not know.
import assert from "node:assert/strict";
import { test } from "node:test";
import { WebSocket } from "ws";
import { SERVER_FRAMES, checker, documents } from "./schemas.mjs";
import { storingRelay } from "./storing.mjs";

const { paths, components } = documents["openapi.yaml"];
/** What a test has to break a machine for, or to end the relay. */
const NOT_TRIED = (status) => status === "503";
/** What has been answered: `GET /sync/pull 200`. */
const answered = new Set();

const AT = ["2024-01-01T00:00:00.000Z", "2024-01-02T00:00:00.000Z"];
const note = (id, about, timestamp, data = { text: id }) => ({
  id, collection: "notes", recordId: about, type: data ? "update" : "delete", data, prevData: null, timestamp,
  status: "pending", retries: 0, errorMessage: null, createdAt: timestamp, updatedAt: timestamp,
});
const row = {
  id: "6JP5vQepm_w8yO4jFAtNrn3zXZIuha1UbBpRaOSER-E", collection: "messages", type: "create",
  recordId: "6JP5vQepm_w8yO4jFAtNrn3zXZIuha1UbBpRaOSER-E", timestamp: AT[0], prevData: null,
  data: { pk: "AQsJbXNnLTEyMzQ1", cid: "content", val: "Hello!", col_version: 1, cl: 1, site_id: "YWJjZGVmZ2hpamtsbW5vcA==" },
};

/** Asks, and holds the answer to the document. */
async function ask(relay, method, path, { query = "", headers = {}, body } = {}) {
  const answer = await fetch(`${relay.origin}${path}${query}`, { method, headers, body });
  const text = await answer.text();
  const what = `${method} ${path} ${answer.status}`;
  let response = paths[path][method.toLowerCase()].responses[answer.status];
  assert.ok(response, `${what} is not in the document: ${text}`);
  if (response.$ref) response = components.responses[response.$ref.split("/").at(-1)];
  for (const header of Object.keys(response.headers ?? {})) assert.ok(answer.headers.has(header), `${what}: ${header}`);
  const [[type, content]] = Object.entries(response.content ?? { none: undefined });
  if (content === undefined || method === "HEAD") {
    assert.equal(text, "", what);
  } else {
    assert.equal(answer.headers.get("content-type").split(";")[0], type, what);
    const name = content.schema.$ref?.split("/").at(-1);
    if (name) assert.equal(checker([name], { closed: true })(JSON.parse(text)), "", `${what}: ${text}`);
  }
  answered.add(what);
  return { status: answer.status, value: type === "application/json" && text ? JSON.parse(text) : text };
}

test("every answer over HTTP is what the document says", async (t) => {
  const relay = await storingRelay({ args: ["--max-push-records", "8"] });
  t.after(() => relay.stop());
  // Of this one only the first answer is had.
  const slow = await storingRelay({ args: ["--rate-messages", "1", "--rate-burst", "1s"] });
  t.after(() => slow.stop());
  const [bearer, hurried] = [await relay.headers("alice"), await slow.headers("alice")];
  const json = { ...bearer, "content-type": "application/json" };
  const push = (changes, headers = json) => ask(relay, "POST", "/sync/push", { headers, body: JSON.stringify({ changes }) });

  const changes = [note("b", 7, AT[1]), note("gone", "x", AT[0], null), row, { ...row, id: "other", recordId: "other" }, { id: "poor" }];
  const first = await push([...changes, note("a", 7, AT[0], { text: "a", more: 1 })]);
  const ids = (list) => list.map(({ id, changeId }) => id ?? changeId);
  assert.deepEqual(Object.values(first.value).map(ids), [[row.id, "b", "gone"], ["a"], ["other", "poor"]]);
  const page = await ask(relay, "POST", "/sync/pull", { headers: json, body: JSON.stringify({ batchSize: 2 }) });
  assert.equal(page.value.hasMore, true);
  const query = `?cursor=${page.value.cursor}&batchSize=9`;
  const rest = await ask(relay, "GET", "/sync/pull", { headers: bearer, query });
  assert.equal(page.value.changes.length + rest.value.changes.length, 3);
  const over = await ask(relay, "GET", "/sync/pull", { headers: bearer, query: "?cursor=unknown" });
  assert.equal(over.value.reset, true);
  await ask(relay, "HEAD", "/sync", { headers: bearer });
  for (const path of ["/health", "/ready", "/metrics"]) await ask(relay, "GET", path);

  const asked = [["HEAD", "/sync"], ["POST", "/sync/push"], ["POST", "/sync/pull"], ["GET", "/sync/pull"]];
  const cookie = { cookie: bearer.Authorization.replace("Bearer ", "auth_token="), origin: "https://elsewhere.example" };
  for (const [method, path] of asked) {
    const body = method === "POST" ? "{}" : undefined;
    const type = body && { "content-type": "application/json" };
    assert.equal((await ask(relay, method, path, { headers: { ...type }, body })).status, 401);
    assert.equal((await ask(relay, method, path, { headers: { ...cookie, ...type }, body })).status, 403);
    if (method === "HEAD") continue;
    let last;
    // The first ones are within the rate.
    for (let n = 0; n < 50 && last !== 429; n += 1) {
      ({ status: last } = await ask(slow, method, path, { headers: { ...hurried, ...type }, body: body && '{"changes":[]}' }));
    }
    assert.equal(last, 429, path);
  }
  for (const path of ["/sync/push", "/sync/pull"]) {
    assert.equal((await ask(relay, "POST", path, { headers: json, body: "{" })).status, 400);
    assert.equal((await ask(relay, "POST", path, { headers: bearer, body: Buffer.from("{}") })).status, 415);
    assert.equal((await ask(relay, "POST", path, { headers: json, body: `"${"x".repeat(9 << 20)}"` })).status, 413);
  }
  assert.equal((await push(Array.from({ length: 9 }, (_, n) => note(`n${n}`, n, AT[0])))).status, 413);
  assert.equal((await ask(relay, "GET", "/sync/pull", { headers: bearer, query: "?batchSize=few" })).status, 400);

  const documented = Object.entries(paths).flatMap(([path, operations]) =>
    Object.entries(operations).flatMap(([method, { responses }]) =>
      Object.keys(responses).filter((status) => !NOT_TRIED(status)).map((status) => `${method.toUpperCase()} ${path} ${status}`)));
  assert.deepEqual([...answered].sort(), documented.sort(), "what the document promises has been answered");
});

test("every frame of the push-pull socket is what the document says", async (t) => {
  const relay = await storingRelay();
  t.after(() => relay.stop());
  const { Authorization: authorization } = await relay.headers("alice");
  const check = checker(SERVER_FRAMES, { closed: true });
  const said = [];
  const open = async () => {
    const socket = new WebSocket(`${relay.origin.replace("http", "ws")}/sync/ws`);
    const waiting = new Map();
    socket.on("message", (text) => {
      const frame = JSON.parse(text);
      said.push(frame);
      assert.equal(check(frame), "", String(text));
      waiting.get(frame.requestId ?? frame.type)?.(frame);
    });
    t.after(() => socket.terminate());
    await new Promise((opened) => socket.on("open", opened));
    socket.send(JSON.stringify({ type: "auth", payload: { authorization } }));
    const next = (about) => new Promise((found) => waiting.set(about, found));
    const ask = (requestId, type, payload) => {
      const answer = next(requestId);
      socket.send(JSON.stringify({ type, requestId, payload }));
      return answer;
    };
    return { socket, next, ask };
  };
  const [a, b] = [await open(), await open()];
  // What is answered has been let in.
  await Promise.all([a.ask("1", "pull", {}), b.ask("1", "pull", { cursor: "unknown" })]);
  const heard = b.next("server_push");
  const pushed = await a.ask("2", "push", { changes: [note("b", 7, AT[1]), row, note("a", 7, AT[0]), { id: "poor" }] });
  assert.deepEqual(Object.values(pushed.payload).map((list) => list.length), [2, 1, 1]);
  assert.ok((await heard).payload.length > 0);
  assert.equal((await b.ask("3", "pull", { cursor: null, collections: ["notes"], batchSize: 1 })).payload.changes.length, 1);
  assert.equal((await a.ask("4", "push", { changes: 5 })).type, "error");
  const unknown = a.next("unknown");
  a.socket.send("{");
  assert.equal((await unknown).type, "error");
  assert.deepEqual([...new Set(said.map(({ type }) => type))].sort(), ["error", "pull_result", "push_result", "server_push"]);
});
