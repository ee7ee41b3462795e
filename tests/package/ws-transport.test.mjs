// The push-pull contract of WsTransport, one sentence at a time, against a scripted WebSocket and a scripted clock.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, afterEach, beforeEach, mock, test } from "node:test";
import { ScriptedSocket, crsqliteSync, socket, sockets } from "./scripted-socket.mjs";

const { WsTransport, validatePushResult, validatePullResult, SyncResponseValidationError } = crsqliteSync;
const url = "wss://example.test/sync";
const original = globalThis.WebSocket;
const unhandled = [];
process.on("unhandledRejection", (reason) => unhandled.push(reason));

let transports = [];
let said;

beforeEach(() => {
  ScriptedSocket.reset();
  globalThis.WebSocket = ScriptedSocket;
  mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1_700_000_000_000 });
  said = mock.method(console, "error", () => {});
});
afterEach(async () => {
  for (const transport of transports) await transport.disconnect();
  transports = [];
  mock.timers.reset();
  mock.restoreAll();
  globalThis.WebSocket = original;
});
after(async () => {
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual(unhandled, []);
});

const make = (options = {}) => {
  const transport = new WsTransport({ url, ...options });
  transports.push(transport);
  return transport;
};
const tick = (ms) => mock.timers.tick(ms);
const microtasks = async () => {
  for (let turn = 0; turn < 20; turn += 1) await null;
};
const opened = async (options) => {
  const transport = make(options);
  const connecting = transport.connect();
  await microtasks();
  socket().opens();
  await connecting;
  return transport;
};
const change = (id) => ({ id, collection: "todos", recordId: 1, type: "create", data: { z: 1, a: 2 } });
const accepted = (...ids) => ({ accepted: ids.map((id) => ({ id, serverTimestamp: "t" })), conflicts: [], errors: [] });
const page = { changes: [], cursor: null, hasMore: false };
const answer = (frame, payload, type = `${frame.type}_result`) =>
  socket().says({ type, requestId: frame.requestId, payload });
const errorOf = async (promise) => {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  return assert.fail("it did not reject");
};
const reports = () => said.mock.calls.map((call) => call.arguments[0].code);

// ------------------------------------------------------------------------------------------------ making one

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
  assert.deepEqual([sockets().length, transport.state, transport.isConnected()], [0, "idle", false]);
});

// ---------------------------------------------------------------------------------------------- connecting

test("connect makes the socket before it returns, with the address and nothing else", () => {
  make().connect();
  assert.deepEqual(socket().args, [url]);
});

test("an address that is a URL object reaches the constructor as it is", () => {
  const address = new URL(url);
  make({ url: address }).connect();
  assert.equal(socket().args[0], address);
});

test("the WebSocket of the global is looked up at each attempt", () => {
  const transport = make();
  class Other extends ScriptedSocket {}
  globalThis.WebSocket = Other;
  transport.connect();
  assert.ok(socket() instanceof Other);
});

test("connect resolves when the socket opens", async () => {
  const transport = await opened();
  assert.deepEqual([transport.state, transport.isConnected()], ["open", true]);
});

test("all who connect while it connects share one socket", async () => {
  const transport = make();
  const calls = [transport.connect(), transport.connect(), transport.connect()];
  socket().opens();
  await Promise.all(calls);
  assert.equal(sockets().length, 1);
});

test("connect resolves at once while it is open", async () => {
  const transport = await opened();
  await transport.connect();
  assert.equal(sockets().length, 1);
});

test("headers are sent as the auth frame before connect resolves", async () => {
  const transport = make({ headers: { token: "t", "x-b": "2" } });
  const connecting = transport.connect().then(() => socket().sent.length);
  socket().opens();
  assert.equal(await connecting, 1);
  assert.equal(socket().sent[0], '{"type":"auth","payload":{"token":"t","x-b":"2"}}');
});

test("without headers no auth frame is sent", async () => {
  await opened();
  await opened({ headers: {} });
  assert.deepEqual(sockets().map((made) => made.sent), [[], []]);
});

test("address and headers may be functions, asked again at every attempt", async () => {
  let turn = 0;
  await opened({ url: () => `${url}?${(turn += 1)}`, headers: async () => ({ token: `t${turn}` }) });
  socket().drops();
  tick(3751);
  await microtasks();
  socket().opens();
  await microtasks();
  assert.deepEqual(sockets().map((made) => made.url), [`${url}?1`, `${url}?2`]);
  assert.deepEqual(sockets().map((made) => made.frames[0].payload.token), ["t1", "t2"]);
});

test("an address that is a promise is waited for", async () => {
  const transport = make({ url: async () => url });
  transport.connect();
  assert.equal(sockets().length, 0);
  await microtasks();
  assert.equal(socket().url, url);
});

test("an address function that fails is a failed attempt, with its error as the cause", async () => {
  const cause = new Error("no token");
  for (const ask of [() => { throw cause; }, () => Promise.reject(cause)]) {
    const error = await errorOf(make({ url: ask }).connect());
    assert.deepEqual([error.message, error.code, error.cause], ["WebSocket connection failed", "connect-failed", cause]);
  }
  assert.equal(sockets().length, 0);
});

test("an address that comes after disconnect opens nothing", async () => {
  const transport = make({ url: async () => url });
  transport.connect();
  await transport.disconnect();
  await microtasks();
  assert.equal(sockets().length, 0);
});

test("connect rejects when the socket fails, and tries again by itself", async () => {
  const transport = make();
  const connecting = transport.connect();
  socket().onerror({});
  const error = await errorOf(connecting);
  assert.ok(error instanceof Error);
  assert.deepEqual([error.message, error.code, error.retryable], ["WebSocket connection failed", "connect-failed", true]);
  assert.equal(transport.state, "waiting");
  tick(3751);
  assert.equal(sockets().length, 2);
});

test("connect rejects when the socket closes before it opens", async () => {
  const connecting = make().connect();
  socket().drops(1006);
  const error = await errorOf(connecting);
  assert.deepEqual([error.message, error.closeCode], ["WebSocket connection failed", 1006]);
});

test("connect rejects when the handshake takes too long, and the socket is given up", async () => {
  const connecting = make().connect();
  const first = socket();
  tick(10_000);
  const error = await errorOf(connecting);
  assert.deepEqual([error.message, error.code], ["WebSocket connection timed out", "connect-timeout"]);
  assert.deepEqual([first.closedWith, first.isHeard], [1000, false]);
});

test("a WebSocket that throws when it is made counts as a failed attempt", async () => {
  const thrown = new SyntaxError("bad address");
  ScriptedSocket.onMade = () => { throw thrown; };
  const transport = make();
  const error = await errorOf(transport.connect());
  assert.deepEqual([error.message, error.cause, transport.state], ["WebSocket connection failed", thrown, "waiting"]);
});

// -------------------------------------------------------------------------------------------- reconnecting

test("the waits grow by half within their jitter", async () => {
  const transport = make();
  transport.connect();
  for (const nominal of [3000, 4500, 6750, 10125]) {
    socket().drops();
    const wait = transport.status.retryAt - Date.now();
    assert.ok(wait >= nominal * 0.75 && wait <= nominal * 1.25 + 1, `${wait} for ${nominal}`);
    const before = sockets().length;
    tick(Math.floor(wait) - 2);
    assert.equal(sockets().length, before);
    tick(4);
    assert.equal(sockets().length, before + 1);
  }
});

test("a server that accepts and closes is given up after the limit", async () => {
  const transport = await opened({ maxReconnectAttempts: 3 });
  for (let turn = 0; turn < 3; turn += 1) {
    socket().drops();
    tick(300_000);
    socket().opens();
  }
  socket().drops(1011);
  const { state, reason, closeCode } = transport.status;
  assert.deepEqual({ state, reason, closeCode }, { state: "failed", reason: "gave-up", closeCode: 1011 });
  tick(3_600_000);
  assert.equal(sockets().length, 4);
});

test("connect revives a transport that gave up", async () => {
  const transport = make({ maxReconnectAttempts: 1 });
  transport.connect();
  socket().drops();
  tick(300_000);
  socket().drops();
  assert.equal(transport.state, "failed");
  const connecting = transport.connect();
  socket().opens();
  await connecting;
  socket().drops();
  assert.equal(transport.state, "waiting");
});

test("an answered request brings the backoff back to its start", async () => {
  const transport = await opened({ maxReconnectAttempts: 0 });
  for (let turn = 0; turn < 6; turn += 1) {
    socket().drops();
    tick(300_000);
    socket().opens();
  }
  const pulling = transport.pull();
  answer(socket().frames[0], page);
  await pulling;
  socket().drops();
  assert.ok(transport.status.retryAt - Date.now() <= 3751);
});

test("maxReconnectAttempts 0 tries for ever", () => {
  make({ maxReconnectAttempts: 0 }).connect();
  for (let turn = 0; turn < 50; turn += 1) {
    socket().drops();
    tick(300_001);
  }
  assert.equal(sockets().length, 51);
});

test("close codes 4001 and 4401 wait for a new token, until reconnect", async () => {
  for (const code of [4001, 4401]) {
    const transport = await opened();
    const made = sockets().length;
    socket().drops(code, "expired");
    assert.deepEqual({ ...transport.status },
      { state: "needs-auth", reason: "unauthenticated", closeCode: code, closeReason: "expired" });
    tick(3_600_000);
    assert.equal(sockets().length, made);
    transport.reconnect();
    assert.equal(sockets().length, made + 1);
  }
});

test("a close code that says we are wrong is final", async () => {
  const transport = await opened();
  socket().drops(1008);
  tick(3_600_000);
  assert.deepEqual([transport.state, transport.status.reason, sockets().length], ["failed", "policy-violation", 1]);
});

test("a server that asks for a pause gets it", async () => {
  const transport = await opened();
  socket().drops(1013, "retryAfter=60000");
  assert.equal(transport.status.retryAt - Date.now(), 60_000);
});

test("reconnect ends the old socket and opens a new one at once", async () => {
  const transport = await opened();
  const first = socket();
  transport.reconnect();
  assert.deepEqual([first.closedWith, first.isHeard, sockets().length], [1000, false, 2]);
});

test("what a dead socket says late is not heard", async () => {
  const transport = make({ protocol: "relay" });
  const heard = [];
  transport.onMessage((frame) => heard.push(frame));
  transport.connect();
  const { onopen, onmessage, onclose } = socket();
  transport.reconnect();
  for (const handler of [onopen, onmessage, onclose]) handler({ data: "late", code: 4001 });
  assert.deepEqual([heard, transport.state], [[], "connecting"]);
});

// ------------------------------------------------------------------------------------------- disconnecting

test("disconnect closes the socket, stays closed and settles without a timer", async () => {
  const transport = await opened();
  await transport.disconnect();
  tick(3_600_000);
  assert.deepEqual([socket().closedWith, socket().isHeard, transport.state, sockets().length], [1000, false, "closed", 1]);
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
  ScriptedSocket.closesAtOnce = true;
  const transport = await opened();
  transport.reconnect();
  socket().opens();
  await transport.disconnect();
  assert.deepEqual([sockets().length, transport.state], [2, "closed"]);
});

test("it can be connected again after disconnect, and listeners are still there", async () => {
  const transport = await opened();
  const heard = [];
  transport.onServerPush((changes) => heard.push(changes.length));
  await transport.disconnect();
  transport.connect();
  socket().opens();
  socket().says({ type: "server_push", payload: [change("s1")] });
  assert.deepEqual(heard, [1]);
});

// ------------------------------------------------------------------------------------------ push and pull

test("push sends before it returns, with records as JSON.stringify writes them", async () => {
  const transport = await opened();
  const records = [{ ...change("c1"), data: { b: 1, a: { toJSON: () => "x" }, gone: undefined } }];
  transport.push(records);
  const id = `req_1_${Date.now()}`;
  assert.equal(socket().sent[0], `{"type":"push","requestId":"${id}","payload":${JSON.stringify({ changes: records })}}`);
});

test("pull leaves out what is undefined and keeps null", async () => {
  const transport = await opened();
  transport.pull();
  transport.pull({ cursor: null, collections: ["a"], batchSize: 5 });
  assert.deepEqual(socket().sent.map((frame) => frame.slice(frame.indexOf('"payload"'))),
    ['"payload":{}}', '"payload":{"cursor":null,"collections":["a"],"batchSize":5}}']);
});

test("request ids count from one and end with the time", async () => {
  const transport = await opened();
  transport.push([]);
  transport.pull();
  assert.deepEqual(socket().frames.map((frame) => frame.requestId), [`req_1_${Date.now()}`, `req_2_${Date.now()}`]);
});

test("answers find their request in any order, and keep extra keys", async () => {
  const transport = await opened();
  const [push, pull] = [transport.push([change("c1")]), transport.pull()];
  const [first, second] = socket().frames;
  answer(second, { ...page, cursor: "c", extra: 1 });
  answer(first, { ...accepted("c1"), extra: 2 });
  assert.deepEqual([await push, await pull], [{ ...accepted("c1"), extra: 2 }, { ...page, cursor: "c", extra: 1 }]);
});

test("a double may answer from inside send", async () => {
  const transport = await opened();
  socket().answer = (frame) => answer(frame, page);
  assert.deepEqual(await transport.pull(), page);
});

test("an answer of the wrong type rejects its request", async () => {
  const transport = await opened();
  const push = transport.push([]);
  answer(socket().frames[0], page, "pull_result");
  assert.equal((await errorOf(push)).code, "invalid-response");
});

test("an answer that breaks the contract rejects with the validator's error", async () => {
  const transport = await opened();
  const push = transport.push([]);
  answer(socket().frames[0], { accepted: [{}], conflicts: [], errors: [] });
  const error = await errorOf(push);
  assert.ok(error instanceof SyncResponseValidationError && error instanceof Error);
  assert.equal(error.message, "Each 'accepted' entry must have a string 'id'");
});

test("an error frame rejects its request with the server's words", async () => {
  const transport = await opened();
  const pull = transport.pull();
  socket().says({ type: "error", requestId: socket().frames[0].requestId, payload: { message: "no such cursor" } });
  const error = await errorOf(pull);
  assert.deepEqual([error.message, error.code], ["no such cursor", "server-error"]);
});

test("an error for nobody is reported and ends nothing", async () => {
  const transport = await opened({ headers: { token: "t" } });
  const pull = transport.pull();
  socket().says({ type: "error", requestId: "unknown", payload: { message: "Unknown message type: auth" } });
  assert.deepEqual(reports(), ["server-error"]);
  answer(socket().frames[1], page);
  assert.deepEqual(await pull, page);
});

test("frames that nobody can read are reported or skipped, and end nothing", async () => {
  const transport = await opened();
  for (const frame of ["", "nonsense", "[]", "null", '{"type":5}', '{"type":"pull_result"}', '{"type":"later"}']) socket().says(frame);
  assert.deepEqual([reports().length, transport.state], [6, "open"]);
});

test("a request without an answer times out", async () => {
  const transport = await opened();
  const pull = transport.pull();
  tick(30_000);
  const error = await errorOf(pull);
  assert.deepEqual([error.message, error.code], [`Request timed out (${socket().frames[0].requestId})`, "request-timeout"]);
  answer(socket().frames[0], page);
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
  assert.deepEqual(socket().sent, []);
});

test("a signal that fires later rejects with its reason, and the answer is not missed", async () => {
  const transport = await opened();
  const abort = new AbortController();
  const pull = transport.pull({ signal: abort.signal });
  abort.abort();
  assert.equal(await errorOf(pull), abort.signal.reason);
  answer(socket().frames[0], page);
  assert.deepEqual(reports(), []);
});

test("a settled request leaves neither a timer nor an abort listener behind", async () => {
  const transport = await opened();
  const signal = { aborted: false, listeners: new Set(), addEventListener(_, f) { this.listeners.add(f); }, removeEventListener(_, f) { this.listeners.delete(f); } };
  const timers = mock.method(globalThis, "clearTimeout");
  const pull = transport.pull({ signal });
  assert.equal(signal.listeners.size, 1);
  answer(socket().frames[0], page);
  await pull;
  assert.deepEqual([signal.listeners.size, timers.mock.callCount()], [0, 1]);
});

test("requests are refused while it is not open, and say why", async () => {
  const transport = make({ maxReconnectAttempts: 1 });
  assert.equal((await errorOf(transport.pull())).message, "WebSocket not connected (readyState: -1)");
  transport.connect();
  const error = await errorOf(transport.push([]));
  assert.deepEqual([error.message, error.code], ["WebSocket not connected (readyState: 0)", "not-connected"]);
  socket().drops();
  tick(300_000);
  socket().drops();
  assert.equal((await errorOf(transport.pull())).code, "gave-up");
});

test("all that waits is rejected when the connection is lost, closed or replaced", async () => {
  for (const end of [() => socket().drops(), (transport) => transport.disconnect(), (transport) => transport.reconnect()]) {
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
  assert.deepEqual(socket().sent, []);
});

test("a send that throws rejects the request", async () => {
  const transport = await opened();
  socket().send = () => { throw new Error("buffer full"); };
  const error = await errorOf(transport.pull());
  assert.deepEqual([error.message, error.code], ["buffer full", "network"]);
});

test("a change that the answer does not mention comes back as an error, a stranger not at all", async () => {
  const transport = await opened();
  const push = transport.push([change("a"), change("b"), change("c")]);
  answer(socket().frames[0], { accepted: [{ id: "a" }, { id: "x" }], conflicts: [{ changeId: "c" }], errors: [] });
  const result = await push;
  assert.deepEqual(result.accepted, [{ id: "a" }]);
  assert.deepEqual(result.errors.map((error) => error.id), ["b"]);
});

// -------------------------------------------------------------------------------------------- server push

test("every listener hears what the server pushes, until it unsubscribes", async () => {
  const transport = await opened();
  const heard = [];
  const stop = transport.onServerPush((changes) => heard.push(["one", changes]));
  transport.onServerPush((changes) => heard.push(["two", changes]));
  socket().says({ type: "server_push", payload: [change("s1")] });
  stop();
  socket().says({ type: "server_push", payload: [] });
  assert.deepEqual(heard, [["one", [change("s1")]], ["two", [change("s1")]], ["two", []]]);
});

test("a listener that throws stops neither the others nor the transport, and is reported", async () => {
  const transport = await opened();
  const heard = [];
  transport.onServerPush(() => { throw new Error("mine"); });
  transport.onServerPush((changes) => heard.push(changes));
  socket().says({ type: "server_push", payload: [] });
  assert.deepEqual([heard, reports(), transport.state], [[[]], ["listener-threw"], "open"]);
  assert.equal(said.mock.calls[0].arguments[0].cause.message, "mine");
});

test("pushes that break the contract are reported and not passed on", async () => {
  const transport = await opened();
  const heard = [];
  transport.onServerPush((changes) => heard.push(changes));
  for (const payload of [{}, [null], [{ id: 1 }]]) socket().says({ type: "server_push", payload });
  assert.deepEqual([heard, reports()], [[], ["invalid-response", "invalid-response", "invalid-response"]]);
});

test("pushes that come before the first listener wait for it, up to a bound", async () => {
  const transport = await opened();
  for (let turn = 0; turn < 300; turn += 1) socket().says({ type: "server_push", payload: [change(`s${turn}`)] });
  const heard = [];
  transport.onServerPush(([first]) => heard.push(first.id));
  assert.deepEqual([heard.length, heard.at(0), heard.at(-1)], [256, "s44", "s299"]);
  assert.equal(reports().every((code) => code === "inbox-overflow"), true);
});

test("binary frames are read as UTF-8", async () => {
  const transport = await opened();
  const heard = [];
  transport.onServerPush(([first]) => heard.push(first.data.text));
  const bytes = new TextEncoder().encode(JSON.stringify({ type: "server_push", payload: [{ ...change("s"), data: { text: "é😀" } }] }));
  socket().saysRaw(bytes.buffer);
  socket().saysRaw(bytes);
  socket().saysRaw(new Blob([bytes]));
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(heard, ["é😀", "é😀", "é😀"]);
});

// ------------------------------------------------------------------------------------------------- states

test("state changes are told in order, with what is known about them", async () => {
  const transport = make();
  const heard = [];
  const stop = transport.onStateChange(({ state, reason }) => heard.push(reason ? `${state} (${reason})` : state));
  transport.connect();
  socket().opens();
  socket().drops(1006);
  tick(3751);
  socket().drops(1006);
  await transport.disconnect();
  stop();
  transport.connect();
  assert.deepEqual(heard,
    ["connecting", "open", "waiting (connection-lost)", "connecting", "waiting (connect-failed)", "closed"]);
});

test("a listener may disconnect, and nobody is told an old state after a new one", () => {
  const transport = make();
  const heard = [];
  transport.onStateChange(({ state }) => state === "open" && transport.disconnect());
  transport.onStateChange(({ state }) => heard.push(state));
  transport.connect();
  socket().opens();
  assert.deepEqual([heard, transport.state], [["connecting", "closed"], "closed"]);
});

test("connect from inside a listener opens before it returns", () => {
  const transport = make();
  let made;
  transport.onStateChange(({ state }) => {
    if (state !== "waiting") return;
    transport.connect();
    made = sockets().length;
  });
  transport.connect();
  socket().drops();
  assert.deepEqual([made, transport.state], [2, "connecting"]);
});

test("a thousand reconnects leave no handler and no timer behind", async () => {
  const [set, cleared] = [mock.method(globalThis, "setTimeout"), mock.method(globalThis, "clearTimeout")];
  const transport = await opened({ maxReconnectAttempts: 0 });
  for (let turn = 0; turn < 1000; turn += 1) {
    transport.reconnect();
    socket().opens();
  }
  assert.equal(sockets().filter((made) => made.isHeard).length, 1);
  assert.deepEqual([set.mock.callCount(), cleared.mock.callCount()], [1001, 1001]);
});

// --------------------------------------------------------------------------------------------- validators

test("the validators say what the vectors say", () => {
  const vectors = JSON.parse(readFileSync(new URL("../vectors/push-pull.json", import.meta.url), "utf8"));
  for (const [validate, list] of [[validatePushResult, vectors.pushResults], [validatePullResult, vectors.pullResults]]) {
    for (const { name, value, error, path, strictPath } of list) {
      const thrownBy = (options) => {
        try {
          assert.equal(validate(value, options), value, name);
        } catch (thrown) {
          assert.ok(thrown instanceof SyncResponseValidationError && thrown instanceof Error, name);
          assert.equal(thrown.name, "SyncResponseValidationError");
          assert.equal(thrown.issues[0].path, thrown.path);
          return thrown;
        }
        return undefined;
      };
      assert.equal(thrownBy()?.message, error, name);
      assert.equal(thrownBy()?.path, path, name);
      assert.equal(thrownBy({ strict: true })?.path, error === undefined ? strictPath : path, name);
    }
  }
});

// ------------------------------------------------------------------------------------------ relay protocol

test("relay: frames go out as they are and come in as they are", async () => {
  const transport = await opened({ protocol: "relay", headers: { token: "unused" } });
  const heard = [];
  transport.onMessage((frame) => heard.push(frame));
  assert.equal(transport.send("out"), true);
  socket().says("in");
  assert.deepEqual([socket().sent, heard], [["out"], ["in"]]);
});

test("relay: send says false when there is no open connection", async () => {
  const transport = make({ protocol: "relay" });
  assert.equal(transport.send("x"), false);
  transport.connect();
  assert.equal(transport.send("x"), false);
  socket().opens();
  socket().readyState = 2;
  assert.equal(transport.send("x"), false);
});

test("relay: frames that come before the first listener wait, but not beyond their connection", async () => {
  const transport = await opened({ protocol: "relay" });
  socket().says("lost with its connection");
  socket().drops();
  tick(1251);
  socket().opens();
  socket().says("one");
  socket().says("two");
  const heard = [];
  transport.onMessage((frame) => heard.push(frame));
  assert.deepEqual(heard, ["one", "two"]);
});

test("relay: it waits a second, for ever, and healthy() brings that back", async () => {
  const transport = await opened({ protocol: "relay" });
  for (let turn = 0; turn < 20; turn += 1) {
    socket().drops();
    tick(300_000);
    socket().opens();
  }
  transport.healthy();
  socket().drops();
  assert.ok(transport.status.retryAt - Date.now() <= 1251);
});

test("relay: push and pull are refused, and the address is shown", async () => {
  const transport = await opened({ protocol: "relay" });
  assert.equal((await errorOf(transport.push([]))).code, "bad-option");
  assert.deepEqual([transport.url, make({ url: () => url }).url, make({ url: new URL(url) }).url], [url, undefined, url]);
});

test("dropping a connection tries again with backoff", async () => {
  const transport = await opened({ protocol: "relay" });
  transport.drop();
  assert.deepEqual([transport.state, transport.status.reason, socket().closedWith], ["waiting", "dropped", 1000]);
});

test("going offline waits without counting, and coming back connects at once", async (t) => {
  const listeners = { online: new Set(), offline: new Set() };
  globalThis.addEventListener = (kind, listener) => listeners[kind].add(listener);
  globalThis.removeEventListener = (kind, listener) => listeners[kind].delete(listener);
  t.after(() => { delete globalThis.addEventListener; delete globalThis.removeEventListener; });
  const navigatorBefore = Object.getOwnPropertyDescriptor(globalThis, "navigator");
  const device = { onLine: true };
  Object.defineProperty(globalThis, "navigator", { value: device, configurable: true });
  t.after(() => navigatorBefore ? Object.defineProperty(globalThis, "navigator", navigatorBefore) : delete globalThis.navigator);
  const transport = await opened({ maxReconnectAttempts: 1 });
  device.onLine = false;
  for (const listener of listeners.offline) listener();
  socket().drops();
  assert.equal(transport.state, "offline");
  device.onLine = true;
  for (const listener of listeners.online) listener();
  assert.deepEqual([transport.state, sockets().length], ["connecting", 2]);
  await transport.disconnect();
  assert.deepEqual([listeners.online.size, listeners.offline.size], [0, 0]);
});
