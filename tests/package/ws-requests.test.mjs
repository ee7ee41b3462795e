// The contract of WsTransport, sentence by sentence: push and pull.
import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { accepted, answer, change, errorOf, make, network, opened, page, reportedCodes, tick } from "./contract.mjs";
import { crsqliteSync } from "./package.mjs";

test("push sends before it returns, with records as JSON.stringify writes them", async () => {
  const transport = await opened();
  const records = [{ ...change("c1"), data: { b: 1, a: { toJSON: () => "x" }, gone: undefined } }];
  transport.push(records);
  const id = `req_1_${Date.now()}`;
  assert.equal(network.socket.received[0], `{"type":"push","requestId":"${id}","payload":${JSON.stringify({ changes: records })}}`);
});

test("pull leaves out what is undefined and keeps null", async () => {
  const transport = await opened();
  transport.pull();
  transport.pull({ cursor: null, collections: ["a"], batchSize: 5 });
  assert.deepEqual(network.socket.received.map((frame) => frame.slice(frame.indexOf('"payload"'))),
    ['"payload":{}}', '"payload":{"cursor":null,"collections":["a"],"batchSize":5}}']);
});

test("request ids count from one and end with the time", async () => {
  const transport = await opened();
  transport.push([]);
  transport.pull();
  assert.deepEqual(network.socket.frames.map((frame) => frame.requestId), [`req_1_${Date.now()}`, `req_2_${Date.now()}`]);
});

test("answers find their request in any order, and keep extra keys", async () => {
  const transport = await opened();
  const [push, pull] = [transport.push([change("c1")]), transport.pull()];
  const [first, second] = network.socket.frames;
  answer(second, { ...page, cursor: "c", extra: 1 });
  answer(first, { ...accepted("c1"), extra: 2 });
  assert.deepEqual([await push, await pull], [{ ...accepted("c1"), extra: 2 }, { ...page, cursor: "c", extra: 1 }]);
});

test("a double may answer from inside send", async () => {
  const transport = await opened();
  network.socket.onFrame = () => answer(network.socket.frames[0], page);
  assert.deepEqual(await transport.pull(), page);
});

test("an answer of the wrong type rejects its request", async () => {
  const transport = await opened();
  const push = transport.push([]);
  answer(network.socket.frames[0], page, "pull_result");
  assert.equal((await errorOf(push)).code, "invalid-response");
});

test("an answer that breaks the contract rejects with the validator's error", async () => {
  const transport = await opened();
  const push = transport.push([]);
  answer(network.socket.frames[0], { accepted: [{}], conflicts: [], errors: [] });
  const error = await errorOf(push);
  assert.ok(error instanceof crsqliteSync.SyncResponseValidationError && error instanceof Error);
  assert.equal(error.message, "Each 'accepted' entry must have a string 'id'");
});

test("an error frame rejects its request with the server's words", async () => {
  const transport = await opened();
  const pull = transport.pull();
  network.socket.say({ type: "error", requestId: network.socket.frames[0].requestId, payload: { message: "no such cursor" } });
  const error = await errorOf(pull);
  assert.deepEqual([error.message, error.code], ["no such cursor", "server-error"]);
});

test("an error for nobody is reported and ends nothing", async () => {
  const transport = await opened({ headers: { token: "t" } });
  const pull = transport.pull();
  network.socket.say({ type: "error", requestId: "unknown", payload: { message: "Unknown message type: auth" } });
  assert.deepEqual(reportedCodes(), ["server-error"]);
  answer(network.socket.frames[1], page);
  assert.deepEqual(await pull, page);
});

test("frames that nobody can read are reported or skipped, and end nothing", async () => {
  const transport = await opened();
  for (const frame of ["", "nonsense", "[]", "null", '{"type":5}', '{"type":"pull_result"}', '{"type":"later"}']) network.socket.say(frame);
  assert.deepEqual([reportedCodes(), transport.state], [Array(6).fill("malformed-message"), "open"]);
});

test("a request without an answer times out", async () => {
  const transport = await opened();
  const pull = transport.pull();
  tick(30_000);
  const error = await errorOf(pull);
  assert.deepEqual([error.message, error.code], [`Request timed out (${network.socket.frames[0].requestId})`, "request-timeout"]);
  answer(network.socket.frames[0], page);
  assert.equal(transport.state, "open");
});

test("the timeout of a single pull counts when it is shorter", async () => {
  const transport = await opened();
  const pull = transport.pull({ timeout: 50 });
  tick(50);
  assert.equal((await errorOf(pull)).code, "request-timeout");
});

test("a signal that has fired rejects with its reason and nothing is sent", async () => {
  const transport = await opened();
  const why = new Error("changed my mind");
  assert.equal(await errorOf(transport.push([], { signal: AbortSignal.abort(why) })), why);
  assert.equal((await errorOf(transport.pull({ signal: AbortSignal.abort() }))).name, "AbortError");
  assert.deepEqual(network.socket.received, []);
});

test("a signal that fires later rejects with its reason, and the answer is not missed", async () => {
  const transport = await opened();
  const abort = new AbortController();
  const pull = transport.pull({ signal: abort.signal });
  abort.abort();
  assert.equal(await errorOf(pull), abort.signal.reason);
  answer(network.socket.frames[0], page);
  assert.deepEqual(reportedCodes(), []);
});

test("a settled request leaves neither a timer nor an abort listener behind", async () => {
  const transport = await opened();
  const signal = { aborted: false, listeners: new Set(), addEventListener(_, f) { this.listeners.add(f); }, removeEventListener(_, f) { this.listeners.delete(f); } };
  const timers = mock.method(globalThis, "clearTimeout");
  const pull = transport.pull({ signal });
  assert.equal(signal.listeners.size, 1);
  answer(network.socket.frames[0], page);
  await pull;
  assert.deepEqual([signal.listeners.size, timers.mock.callCount()], [0, 1]);
});

test("nothing that was refused is sent later", async () => {
  const transport = make();
  const connecting = transport.connect();
  const refused = transport.push([change("a")]);
  network.socket.accept();
  await connecting;
  assert.equal((await errorOf(refused)).code, "not-connected");
  assert.deepEqual(network.socket.received, []);
});

test("a request that timed out leaves the others waiting, and its late answer settles nothing", async () => {
  const transport = await opened({ requestTimeoutMs: 1000 });
  const first = transport.pull();
  tick(600);
  const second = transport.pull();
  tick(400);
  assert.equal((await errorOf(first)).code, "request-timeout");
  answer(network.socket.frames[0], { ...page, cursor: "late" });
  answer(network.socket.frames[1], { ...page, cursor: "mine" });
  assert.equal((await second).cursor, "mine");
});

test("an answer that comes twice settles its request once", async () => {
  const transport = await opened();
  const pull = transport.pull();
  answer(network.socket.frames[0], page);
  answer(network.socket.frames[0], {});
  assert.deepEqual([await pull, reportedCodes()], [page, []]);
});

test("what the server pushes needs no request and settles none", async () => {
  const transport = await opened();
  const pull = transport.pull();
  network.socket.say({ type: "server_push", requestId: network.socket.frames[0].requestId, payload: [] });
  answer(network.socket.frames[0], page);
  assert.deepEqual(await pull, page);
});

test("requests are refused while it is not open, and say why", async () => {
  const transport = make({ maxReconnectAttempts: 1 });
  assert.equal((await errorOf(transport.pull())).message, "WebSocket not connected (readyState: -1)");
  transport.connect();
  const error = await errorOf(transport.push([]));
  assert.deepEqual([error.message, error.code], ["WebSocket not connected (readyState: 0)", "not-connected"]);
  network.socket.drop();
  tick(300_000);
  network.socket.drop();
  assert.equal((await errorOf(transport.pull())).code, "gave-up");
});

test("all that waits is rejected when the connection is lost, closed or replaced", async () => {
  for (const end of [() => network.socket.drop(), (transport) => transport.disconnect(), (transport) => transport.reconnect()]) {
    const transport = await opened();
    const waiting = [transport.push([]), transport.pull()];
    end(transport);
    for (const request of waiting) {
      const error = await errorOf(request);
      assert.deepEqual([error.message, error.code], ["WebSocket disconnected", "disconnected"]);
    }
  }
});

test("records that JSON cannot write reject with JavaScript's own error", async () => {
  const transport = await opened();
  assert.ok((await errorOf(transport.push([{ n: 1n }]))) instanceof TypeError);
  assert.deepEqual(network.socket.received, []);
});

test("a send that throws rejects the request", async () => {
  const transport = await opened();
  network.socket.client.send = () => { throw new Error("buffer full"); };
  const error = await errorOf(transport.pull());
  assert.deepEqual([error.message, error.code], ["buffer full", "network"]);
});

test("a change that the answer does not mention comes back as an error, a stranger not at all", async () => {
  const transport = await opened();
  const push = transport.push([change("a"), change("b"), change("c")]);
  answer(network.socket.frames[0], { accepted: [{ id: "a" }, { id: "x" }], conflicts: [{ changeId: "c" }], errors: [] });
  const result = await push;
  assert.deepEqual(result.accepted, [{ id: "a" }]);
  assert.deepEqual(result.errors.map((error) => error.id), ["b"]);
});
