// The push-pull contract of HttpTransport, one sentence at a time, against a scripted fetch.
import assert from "node:assert/strict";
import { after, afterEach, beforeEach, mock, test } from "node:test";
import { crsqliteSync } from "./package.mjs";

const { HttpTransport, SyncResponseValidationError } = crsqliteSync;
const url = "https://example.test/sync";
const original = { fetch: globalThis.fetch, timeout: AbortSignal.timeout, AbortController, setTimeout };
const unhandled = [];
process.on("unhandledRejection", (reason) => unhandled.push(reason));

let calls;
let transports;
let said;

/** A call of fetch whose other end is the test. */
class Fetched {
  constructor(address, init) {
    Object.assign(this, { url: address, init });
    this.promise = new Promise((resolve, reject) => Object.assign(this, { answers: resolve, fails: reject }));
    init.signal?.addEventListener?.("abort", () => this.fails(init.signal.reason));
  }

  says(value, status = 200, headers = {}) {
    this.answers(new Response(typeof value === "string" ? value : JSON.stringify(value), { status, headers }));
  }

  get body() {
    return JSON.parse(this.init.body);
  }
}

beforeEach(() => {
  calls = [];
  transports = [];
  globalThis.fetch = (address, init) => {
    const call = new Fetched(address, init);
    calls.push(call);
    return call.promise;
  };
  said = mock.method(console, "error", () => {});
});
afterEach(async () => {
  for (const transport of transports) await transport.disconnect();
  mock.restoreAll();
  mock.timers.reset();
  Object.assign(globalThis, { fetch: original.fetch, AbortController: original.AbortController, setTimeout: original.setTimeout });
  AbortSignal.timeout = original.timeout;
  await turns();
});
after(async () => {
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual(unhandled, []);
});

const make = (options = {}) => {
  const transport = new HttpTransport({ url, ...options });
  transports.push(transport);
  return transport;
};
const last = () => calls.at(-1);
/** Lets everything happen that waits for nothing outside. */
const turns = async () => {
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
};
const change = (id) => ({ id, collection: "todos", recordId: 1, type: "create", data: { z: 1, a: 2 } });
const accepted = (...ids) => ({ accepted: ids.map((id) => ({ id, serverTimestamp: "t" })), conflicts: [], errors: [] });
const page = { changes: [], cursor: null, hasMore: false };
const errorOf = async (promise) => {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  return assert.fail("it did not reject");
};
/** The error of a pull that is answered like this. */
const refused = async (value, status, headers, transport = make()) => {
  const pull = transport.pull();
  last().says(value, status, headers);
  return errorOf(pull);
};
/** Time that the test lets run out, one limit at a time. */
const scriptedTime = () => {
  const limits = [];
  AbortSignal.timeout = (ms) => {
    const controller = new AbortController();
    limits.push({ ms, signal: controller.signal, runsOut: () => controller.abort(new DOMException("timed out", "TimeoutError")) });
    return controller.signal;
  };
  return limits;
};
/** A pull that is answered with a double. */
const answeredWith = (response, transport = make()) => {
  const pull = transport.pull();
  last().answers(response);
  return pull;
};

// ------------------------------------------------------------------------------------------------ making one

test("its name is http, it speaks push-pull, and it shows an address that does not change", () => {
  const shown = ({ name, protocol, url: address }) => [name, protocol, address];
  assert.deepEqual(shown(make()), ["http", "push-pull", url]);
  assert.equal(make({ url: new URL(url) }).url, url);
  assert.equal(make({ url: () => url }).url, undefined);
});

test("the constructor says that the fetch API is missing", () => {
  delete globalThis.fetch;
  assert.throws(() => make(), (error) => error instanceof Error && /requires fetch API/.test(error.message));
});

test("the constructor refuses options that make no sense", () => {
  const wrong = [
    { url: undefined }, { url: null }, { url: 5 }, { pullMethod: "PUT" }, { timeoutMs: "soon" }, { timeoutMs: -1 },
    { pingEndpoint: 5 }, { onAuthRequired: "me" },
  ];
  for (const options of wrong) assert.throws(() => make(options), { name: "SyncError", code: "bad-option" }, JSON.stringify(options));
  assert.throws(() => new HttpTransport(), { code: "bad-option" });
});

test("nothing is asked before anybody calls", () => {
  const transport = make();
  assert.deepEqual([calls.length, transport.state, transport.isConnected()], [0, "idle", false]);
});

// --------------------------------------------------------------------------------------------- what is sent

test("push calls fetch before it returns, with a plain object and nothing but the changes", () => {
  make().push([change("c1")], { batchSize: 7 });
  const { method, headers, body } = last().init;
  assert.equal(last().url, `${url}/push`);
  assert.deepEqual({ method, headers }, { method: "POST", headers: { "Content-Type": "application/json" } });
  assert.deepEqual([last().init, headers].map((it) => Object.getPrototypeOf(it)), [Object.prototype, Object.prototype]);
  assert.equal(body, JSON.stringify({ changes: [change("c1")] }));
});

test("records reach the wire as JSON.stringify writes them", () => {
  const records = [{ ...change("c1"), data: { b: 1, a: { toJSON: () => "x" }, gone: undefined, "é\ud800": "😀" } }];
  make().push(records);
  assert.equal(last().init.body, JSON.stringify({ changes: records }));
});

test("records that JSON cannot write reject with JavaScript's own error, and nothing is sent", async () => {
  assert.ok((await errorOf(make().push([{ n: 1n }]))) instanceof TypeError);
  assert.equal(calls.length, 0);
});

test("pull sends what it is asked with, and leaves out what says nothing", () => {
  const transport = make();
  for (const options of [undefined, {}, { cursor: null, collections: [], batchSize: undefined }, { cursor: "" }]) {
    transport.pull(options);
    assert.deepEqual([last().url, last().init.method, last().init.body], [`${url}/pull`, "POST", "{}"]);
  }
  transport.pull({ batchSize: 5, collections: ["a"], cursor: "c 1&" });
  assert.equal(last().url, `${url}/pull?cursor=c%201%26`);
  assert.equal(last().init.body, '{"cursor":"c 1&","collections":["a"],"batchSize":5}');
});

test("pull by GET puts everything into the query, a collection at a time, and has no body", () => {
  const transport = make({ pullMethod: "GET", fetchOptions: { body: "x" } });
  transport.pull({ cursor: "7/é", collections: ["a", "b,c"], batchSize: 50 });
  assert.equal(last().url, `${url}/pull?cursor=7%2F%C3%A9&collections=a&collections=b%2Cc&batchSize=50`);
  assert.deepEqual([last().init.method, "body" in last().init], ["GET", false]);
  transport.pull();
  assert.equal(last().url, `${url}/pull`);
});

test("a cursor that no address can carry rejects, and nothing is sent", async () => {
  assert.equal((await errorOf(make().pull({ cursor: "\ud800" }))).name, "URIError");
  assert.equal(calls.length, 0);
});

test("the base may end with slashes, have a query of its own, and be relative", () => {
  const at = (base) => {
    make({ url: base }).pull({ cursor: "1" });
    return last().url;
  };
  assert.equal(at(`${url}///`), `${url}/pull?cursor=1`);
  assert.equal(at(`${url}?tenant=1#top`), `${url}/pull?tenant=1&cursor=1`);
  assert.equal(at("/api/sync"), "/api/sync/pull?cursor=1");
  assert.equal(at(new URL("https://example.test")), "https://example.test/pull?cursor=1");
});

test("the app's headers stand beside ours, and replace ours whatever their case", () => {
  const sent = (headers) => {
    make({ headers }).push([]);
    return last().init.headers;
  };
  assert.deepEqual(sent({ Authorization: "t" }), { "Content-Type": "application/json", Authorization: "t" });
  assert.deepEqual(sent({ "content-type": "text/x" }), { "content-type": "text/x" });
  assert.deepEqual(sent({ "X-A": "1", Gone: undefined }), { "Content-Type": "application/json", "X-A": "1" });
  const headers = { "Content-Type": "application/json", a: "1" };
  for (const form of [new Headers({ a: "1" }), new Map([["a", "1"]]), [["a", "1"]]]) assert.deepEqual(sent(form), headers);
});

test("fetchOptions are passed on, and override nothing of ours", () => {
  const fetchOptions = {
    credentials: "include", keepalive: true, method: "PUT", body: "x", headers: { a: "1" }, signal: AbortSignal.abort(),
  };
  make({ fetchOptions }).push([]);
  const { credentials, keepalive, method, body, headers, signal } = last().init;
  assert.deepEqual({ credentials, keepalive, method, body }, { credentials: "include", keepalive: true, method: "POST", body: '{"changes":[]}' });
  assert.deepEqual([headers, signal?.aborted], [{ "Content-Type": "application/json" }, false]);
  assert.equal(fetchOptions.method, "PUT");
});

test("address and headers may be functions, asked again at every request, without losing the moment", () => {
  let turn = 0;
  const transport = make({ url: () => `${url}${(turn += 1)}`, headers: () => ({ t: `${turn}` }) });
  transport.push([]);
  transport.pull();
  assert.deepEqual(calls.map((call) => [call.url, call.init.headers.t]), [[`${url}1/push`, "1"], [`${url}2/pull`, "2"]]);
});

test("functions that give promises are waited for", async () => {
  const transport = make({ url: async () => url, headers: async () => ({ t: "1" }) });
  const pull = transport.pull();
  assert.equal(calls.length, 0);
  await turns();
  assert.deepEqual([last().url, last().init.headers.t], [`${url}/pull`, "1"]);
  last().says(page);
  assert.deepEqual(await pull, page);
});

test("a function that fails rejects the request with its error as the cause, and nothing is sent", async () => {
  const cause = new Error("no token");
  for (const ask of [() => { throw cause; }, () => Promise.reject(cause)]) {
    for (const options of [{ url: ask }, { headers: ask }]) {
      const transport = make(options);
      const error = await errorOf(transport.pull());
      assert.deepEqual([error.code, error.cause, error.retryable, transport.state], ["connect-failed", cause, true, "idle"]);
    }
  }
  assert.equal((await errorOf(make({ url: () => undefined }).pull())).code, "bad-option");
  assert.equal(calls.length, 0);
});

test("the fetch of the global is looked up at each request", () => {
  const transport = make();
  const other = mock.fn(() => new Promise(() => {}));
  globalThis.fetch = other;
  transport.pull();
  assert.deepEqual([other.mock.callCount(), calls.length], [1, 0]);
});

// ---------------------------------------------------------------------------------------------- the answers

test("push and pull resolve with the very object of the answer, extra keys kept", async () => {
  const push = make().push([change("c1")]);
  last().says({ ...accepted("c1"), extra: 1 });
  assert.deepEqual(await push, { ...accepted("c1"), extra: 1 });
  const result = { ...page, extra: 2 };
  assert.equal(await answeredWith({ ok: true, status: 200, json: async () => result }), result);
});

test("a response may be a double that has half of what a real one has", async () => {
  const text = async () => JSON.stringify(page);
  const json = async () => page;
  const doubles = [
    { ok: true, json }, { status: 200, json }, { ok: true, text }, { ok: true, status: 200, json: () => page },
    { ok: true, text: async () => "", json }, { ok: true, text: () => { throw new Error("not here"); }, json },
    { ok: true, text, json: () => { throw new Error("not here"); }, headers: null },
  ];
  for (const double of doubles) assert.deepEqual(await answeredWith(double), page);
  assert.equal((await errorOf(answeredWith({ ok: true }))).code, "invalid-response");
  for (const nothing of [undefined, null, "page"]) assert.equal((await errorOf(answeredWith(nothing))).code, "invalid-response");
});

test("a success that is not JSON is a clear error that names what came", async () => {
  for (const [body, named] of [["<!doctype html><title>Sign in", /HTML/], ["\n <html>", /HTML/], ["", /nothing/], ["hello", /text/]]) {
    const error = await refused(body, 200);
    assert.deepEqual([error.code, error.status, error.name], ["invalid-response", 200, "SyncError"]);
    assert.match(error.message, /^Sync pull failed: the server answered with /);
    assert.match(error.message, named);
  }
  const json = async () => JSON.parse("<html>");
  assert.match((await errorOf(answeredWith({ ok: true, json, headers: new Headers({ "content-type": "text/html" }) }))).message, /HTML/);
});

test("a redirect to a login page is named with where it led", async () => {
  const login = { ok: true, status: 200, redirected: true, url: "https://example.test/login", text: async () => "<html>" };
  assert.match((await errorOf(answeredWith(login))).message, /HTML instead of JSON, after a redirect to https:\/\/example.test\/login$/);
  const error = await errorOf(answeredWith({ ok: false, status: 0, type: "opaqueredirect", text: async () => "" }));
  assert.deepEqual([error.code, /redirect/.test(error.message)], ["invalid-response", true]);
});

test("an answer that breaks the contract rejects with the validator's error", async () => {
  const push = make().push([]);
  last().says({ accepted: [{}], conflicts: [], errors: [] });
  const error = await errorOf(push);
  assert.ok(error instanceof SyncResponseValidationError && error instanceof Error);
  assert.deepEqual([error.message, error.path], ["Each 'accepted' entry must have a string 'id'", "accepted[0].id"]);
  assert.equal((await refused({ changes: {} }, 200)).message, "Pull result missing 'changes' array");
});

test("a change that the answer does not mention comes back as an error of ours, a stranger not at all", async () => {
  const push = make().push([change("a"), change("b"), change("c"), change("d")]);
  const answer = { accepted: [{ id: "a" }, { id: "x" }], conflicts: [{ changeId: "c" }], errors: [{ id: "d", error: "no" }] };
  last().says(answer);
  const result = await push;
  assert.deepEqual(result.accepted, [{ id: "a" }]);
  assert.deepEqual(result.errors.map(({ id, code }) => [id, code]), [["d", undefined], ["b", "not-mentioned"]]);
});

test("a double's frozen answer does no harm", async () => {
  const answer = Object.freeze({ accepted: Object.freeze([]), conflicts: Object.freeze([]), errors: Object.freeze([]) });
  const push = make().push([change("a")]);
  last().answers({ ok: true, json: async () => answer });
  assert.equal(await push, answer);
});

// --------------------------------------------------------------------------------------------- the refusals

test("a refusal has the server's status and words", async () => {
  const push = make().push([]);
  last().says("no such tenant", 400);
  const error = await errorOf(push);
  assert.ok(error instanceof Error);
  assert.deepEqual([error.message, error.code, error.status, error.retryable], ["Sync push failed (400): no such tenant", "http-status", 400, false]);
  assert.equal((await refused("down", 500)).message, "Sync pull failed (500): down");
});

test("whether trying again may help is the status's to say", async () => {
  const seen = {};
  for (const status of [400, 401, 403, 404, 408, 413, 429, 500, 502, 503, 504]) seen[status] = (await refused("x", status)).retryable;
  const yes = Object.keys(seen).filter((status) => seen[status]);
  assert.deepEqual(yes, ["408", "429", "500", "502", "503", "504"]);
});

test("a refusal whose text cannot be read is an unknown error", async () => {
  const doubles = [{}, { text: async () => { throw new Error("gone"); } }, { text: () => { throw new Error("gone"); } }, { text: 5 }, { text: async () => 5 }, { text: async () => "" }, { json: async () => ({}) }];
  for (const double of doubles) {
    assert.equal((await errorOf(answeredWith({ ok: false, status: 500, ...double }))).message, "Sync pull failed (500): Unknown error");
  }
});

test("a long text is cut between characters", async () => {
  const { message } = await refused("😀".repeat(100_000), 500);
  assert.deepEqual([[...message].length, message.slice(-3), message.isWellFormed()], ["Sync pull failed (500): ".length + 501, "😀…", true]);
});

test("a rate limit says so, and how long the server asks to wait", async () => {
  const push = make().push([]);
  last().says("slow down", 429, { "Retry-After": "2" });
  const error = await errorOf(push);
  assert.deepEqual([error.message, error.code, error.retryAfter, error.retryable], ["Sync push rate limited (429): slow down", "rate-limited", 2000, true]);
  assert.equal((await refused("slow down", 429)).message, "Sync pull rate limited (429): slow down");
});

test("Retry-After is read for 429 and 503, as seconds or a date, and not when it is absurd", async () => {
  const asked = async (value, status = 503) => (await refused("x", status, { "Retry-After": value })).retryAfter;
  assert.deepEqual([await asked("0"), await asked("3"), await asked("99999999999999")], [0, 3000, 86_400_000]);
  for (const value of ["-1", "soon", "1.5", ""]) assert.equal(await asked(value), undefined, value);
  assert.equal(await asked("3", 500), undefined);
  assert.equal(await asked(new Date(Date.now() - 60_000).toUTCString(), 429), 0);
  const ahead = await asked(new Date(Date.now() + 60_000).toUTCString());
  assert.ok(ahead > 55_000 && ahead <= 60_000, `${ahead}`);
});

test("a limited double without headers has no retryAfter", async () => {
  const error = await errorOf(answeredWith({ ok: false, status: 429, text: async () => "x" }));
  assert.deepEqual([error.code, "retryAfter" in error], ["rate-limited", false]);
});

// ------------------------------------------------------------------------------------------ the network fails

test("a fetch that fails rejects with its words and itself as the cause", async () => {
  const cause = new TypeError("fetch failed");
  const push = make().push([]);
  last().fails(cause);
  const error = await errorOf(push);
  assert.deepEqual([error.message, error.code, error.retryable, error.cause], ["Sync push failed: fetch failed", "network", true, cause]);
});

test("a fetch that throws at once, or with something that is no error, rejects alike", async () => {
  globalThis.fetch = () => { throw new TypeError("bad port"); };
  assert.equal((await errorOf(make().pull())).message, "Sync pull failed: bad port");
  globalThis.fetch = () => Promise.reject(undefined);
  assert.deepEqual([(await errorOf(make().pull())).message, transports.at(-1).state], ["Sync pull failed: no answer", "waiting"]);
});

test("a body that breaks off is a failure of the network", async () => {
  const transport = make();
  const broken = new ReadableStream({ start: (controller) => controller.error(new TypeError("terminated")) });
  const error = await errorOf(answeredWith(new Response(broken), transport));
  assert.deepEqual([error.code, error.message, transport.status.reason], ["network", "Sync pull failed: terminated", "network"]);
});

// ------------------------------------------------------------------------------------------ signals and time

test("a caller's signal alone is the very object that fetch gets", () => {
  const { signal } = new AbortController();
  make().pull({ signal });
  assert.equal(last().init.signal, signal);
});

test("a timeout alone is the very signal of AbortSignal.timeout, looked up when it is needed", () => {
  const transport = make({ timeoutMs: 1500 });
  const signals = [];
  AbortSignal.timeout = mock.fn((ms) => { signals.push(new AbortController().signal); return signals.at(-1); });
  transport.push([]);
  assert.deepEqual(AbortSignal.timeout.mock.calls.map((call) => call.arguments), [[1500]]);
  assert.equal(last().init.signal, signals[0]);
});

test("a pull's own timeout counts when it is shorter, and a timeout of 0 is none", () => {
  AbortSignal.timeout = mock.fn(() => new AbortController().signal);
  make({ timeoutMs: 1500 }).pull({ timeout: 50 });
  make({ timeoutMs: 1500 }).pull({ timeout: 9999 });
  make().pull({ timeout: 70 });
  make({ timeoutMs: 0 }).pull();
  make({ timeoutMs: Infinity }).pull({ timeout: NaN });
  assert.deepEqual(AbortSignal.timeout.mock.calls.map((call) => call.arguments[0]), [50, 1500, 70]);
});

test("a request that takes too long rejects with a TimeoutError that has our code", async () => {
  const limits = scriptedTime();
  const transport = make({ timeoutMs: 1500 });
  const push = transport.push([]);
  limits[0].runsOut();
  const error = await errorOf(push);
  assert.deepEqual([error.name, error.code, error.retryable, error.message], ["TimeoutError", "request-timeout", true, "Sync push failed: timed out"]);
  assert.deepEqual([last().init.signal.aborted, { ...transport.status }], [true, { state: "waiting", reason: "request-timeout" }]);
});

test("the platform's own timeout does it too", async () => {
  const alive = setInterval(() => {}, 1000);
  assert.equal((await errorOf(make({ timeoutMs: 1 }).pull())).name, "TimeoutError");
  clearInterval(alive);
});

test("a TimeoutError of a fetch that runs ahead of its signal counts as a timeout", async () => {
  const pull = make().pull();
  last().fails(new DOMException("too slow", "TimeoutError"));
  assert.equal((await errorOf(pull)).code, "request-timeout");
});

test("the time runs also while the body comes and while headers are asked for", async () => {
  const limits = scriptedTime();
  const pull = make({ timeoutMs: 1500 }).pull();
  last().answers(new Response(new ReadableStream({})));
  await turns();
  limits[0].runsOut();
  assert.equal((await errorOf(pull)).code, "request-timeout");
  const stuck = make({ timeoutMs: 1500, headers: () => new Promise(() => {}) }).pull();
  limits[1].runsOut();
  assert.equal((await errorOf(stuck)).code, "request-timeout");
  assert.equal(calls.length, 1);
});

test("with a signal and a timeout the earlier one wins, either of them", async () => {
  const abort = new AbortController();
  const transport = make({ timeoutMs: 60_000 });
  const pull = transport.pull({ signal: abort.signal });
  const { signal } = last().init;
  assert.ok(signal !== abort.signal && !signal.aborted);
  const why = new Error("changed my mind");
  abort.abort(why);
  assert.equal(await errorOf(pull), why);
  assert.deepEqual([signal.aborted, signal.reason], [true, why]);
  const limits = scriptedTime();
  const slow = make({ timeoutMs: 1500 }).pull({ signal: new AbortController().signal });
  limits[0].runsOut();
  assert.equal((await errorOf(slow)).name, "TimeoutError");
  assert.equal(last().init.signal.aborted, true);
});

test("without AbortSignal.timeout a timer does the same, and is cleared when the request settles", async () => {
  AbortSignal.timeout = undefined;
  mock.timers.enable({ apis: ["setTimeout"] });
  const late = make({ timeoutMs: 1500 }).pull();
  mock.timers.tick(1500);
  const error = await errorOf(late);
  assert.deepEqual([error.name, last().init.signal.aborted], ["TimeoutError", true]);
  const cleared = mock.method(globalThis, "clearTimeout");
  const pull = make({ timeoutMs: 60_000 }).pull();
  last().says(page);
  await pull;
  assert.equal(cleared.mock.callCount(), 1);
});

test("a signal that has fired rejects with its reason, and nothing is sent", async () => {
  const why = new Error("changed my mind");
  assert.equal(await errorOf(make().push([], { signal: AbortSignal.abort(why) })), why);
  assert.equal((await errorOf(make().pull({ signal: AbortSignal.abort() }))).name, "AbortError");
  assert.equal(calls.length, 0);
});

test("a signal that fires later rejects with its reason, at any stage", async () => {
  const stages = [
    () => {}, // fetch has no answer yet
    () => last().answers(new Response(new ReadableStream({}))), // the body comes
  ];
  for (const stage of stages) {
    const abort = new AbortController();
    const pull = make().pull({ signal: abort.signal });
    stage();
    await turns();
    abort.abort();
    assert.equal(await errorOf(pull), abort.signal.reason);
  }
  const abort = new AbortController();
  const pull = make({ headers: () => new Promise(() => {}) }).pull({ signal: abort.signal });
  abort.abort("no longer");
  assert.equal(await errorOf(pull), "no longer");
});

test("headers that come after an abort send nothing", async () => {
  const abort = new AbortController();
  const pull = make({ headers: async () => ({}) }).pull({ signal: abort.signal });
  abort.abort();
  await errorOf(pull);
  await turns();
  assert.equal(calls.length, 0);
});

test("a fetch that ignores its signal does not keep anybody waiting", async () => {
  globalThis.fetch = () => new Promise(() => {});
  const abort = new AbortController();
  const pull = make().pull({ signal: abort.signal });
  abort.abort();
  assert.equal(await errorOf(pull), abort.signal.reason);
});

test("a signal that nobody can listen to is asked when fetch has failed", async () => {
  const signal = { aborted: false, reason: undefined };
  const pull = make().pull({ signal });
  Object.assign(signal, { aborted: true, reason: "stop" });
  last().fails(new Error("whatever"));
  assert.equal(await errorOf(pull), "stop");
});

test("an AbortError of fetch itself is passed on as it is", async () => {
  const transport = make();
  const pull = transport.pull();
  const own = new DOMException("aborted", "AbortError");
  last().fails(own);
  assert.deepEqual([await errorOf(pull), transport.state], [own, "idle"]);
});

test("a settled request leaves no abort listener behind, on whichever way it settled", async () => {
  const ends = [() => last().says(page), () => last().says("no", 400), () => last().fails(new TypeError("x")), () => transports.at(-1).disconnect()];
  for (const end of ends) {
    const listeners = new Set();
    const signal = { aborted: false, addEventListener: (_, f) => listeners.add(f), removeEventListener: (_, f) => listeners.delete(f) };
    const pull = make({ timeoutMs: 60_000 }).pull({ signal });
    assert.equal(listeners.size, 1);
    end();
    await pull.catch(() => {});
    assert.equal(listeners.size, 0);
  }
});

// ------------------------------------------------------------------------------------------- disconnecting

test("disconnect rejects all that is under way, and aborts what it can", async () => {
  const transport = make();
  const waiting = [transport.push([]), transport.pull(), transport.connect()];
  await transport.disconnect();
  for (const request of waiting) {
    const error = await errorOf(request);
    assert.deepEqual([error.message, error.code], ["HTTP transport disconnected", "disconnected"]);
  }
  assert.deepEqual([calls.map((call) => call.init.signal.aborted), transport.state], [[true, true, true], "closed"]);
});

test("an answer that comes after disconnect is not read, and changes nothing", async () => {
  const transport = make();
  const { signal } = new AbortController();
  const pull = transport.pull({ signal });
  const cancel = mock.fn(async () => { throw new Error("locked"); });
  const text = mock.fn();
  await transport.disconnect();
  last().answers({ ok: true, status: 200, text, body: { cancel } });
  await errorOf(pull);
  await turns();
  assert.deepEqual([text.mock.callCount(), cancel.mock.callCount(), transport.state], [0, 1, "closed"]);
});

test("disconnect settles twice, and it can be used again afterwards", async () => {
  const transport = make();
  await transport.disconnect();
  await transport.disconnect();
  const pull = transport.pull();
  last().says(page);
  await pull;
  assert.deepEqual([transport.state, transport.isConnected()], ["open", true]);
});

// -------------------------------------------------------------------------------------------------- connect

test("connect asks the base with HEAD, with headers, fetchOptions and the timeout", async () => {
  AbortSignal.timeout = mock.fn(() => new AbortController().signal);
  const transport = make({ url: `${url}/?t=1`, headers: { a: "1" }, fetchOptions: { credentials: "include" }, timeoutMs: 900 });
  const connecting = transport.connect();
  const { method, headers, credentials } = last().init;
  assert.deepEqual([last().url, method, headers.a, credentials, "body" in last().init], [`${url}?t=1`, "HEAD", "1", "include", false]);
  assert.deepEqual([AbortSignal.timeout.mock.calls[0].arguments[0], transport.state], [900, "connecting"]);
  last().answers(new Response(null));
  assert.equal(await connecting, undefined);
  assert.deepEqual([transport.state, transport.isConnected()], ["open", true]);
});

test("without a ping endpoint any answer below 500 will do", async () => {
  for (const status of [200, 204, 302, 401, 404, 405, 429]) {
    const transport = make();
    const connecting = transport.connect();
    last().answers({ status, ok: status < 300 });
    await connecting;
    assert.equal(transport.isConnected(), true, `${status}`);
  }
  for (const status of [500, 503]) {
    const transport = make();
    const connecting = transport.connect();
    last().answers({ status, ok: false });
    const error = await errorOf(connecting);
    assert.deepEqual([error.message, error.status, error.retryable, transport.isConnected()], [`Sync server unreachable (${status})`, status, true, false]);
  }
});

test("a ping endpoint is below the base and has to answer with a success", async () => {
  for (const [pingEndpoint, status, reachable] of [["/health", 200, true], ["health", 404, false], ["health", 401, false], ["health", 429, false]]) {
    const transport = make({ pingEndpoint });
    const connecting = transport.connect();
    assert.equal(last().url, `${url}/health`);
    last().answers(new Response(null, { status }));
    if (reachable) await connecting;
    else assert.equal((await errorOf(connecting)).message, `Sync server unreachable (${status})`);
    assert.equal(transport.isConnected(), reachable || status === 401, `${status}`);
  }
});

test("connect rejects when there is no server, with the cause", async () => {
  const cause = new TypeError("fetch failed");
  const transport = make();
  const connecting = transport.connect();
  last().fails(cause);
  const error = await errorOf(connecting);
  assert.deepEqual([error.message, error.code, error.cause, { ...transport.status }],
    ["Sync server unreachable: fetch failed", "network", cause, { state: "waiting", reason: "network" }]);
});

test("all who connect at the same time share one check, and the next one asks again", async () => {
  const transport = make();
  const both = [transport.connect(), transport.connect()];
  assert.equal(calls.length, 1);
  last().says("", 200);
  await Promise.all(both);
  transport.connect();
  assert.equal(calls.length, 2);
});

// ---------------------------------------------------------------------------------- what is known of the server

test("isConnected follows what requests show: the network, a 5xx, and a later success", async () => {
  const transport = make();
  const pulled = async (end) => {
    const pull = transport.pull();
    end(last());
    await pull.catch(() => {});
    await turns();
    return [transport.isConnected(), transport.state, transport.status.reason];
  };
  const ok = (call) => call.says(page);
  assert.deepEqual(await pulled(ok), [true, "open", undefined]);
  assert.deepEqual(await pulled((call) => call.fails(new TypeError("x"))), [false, "waiting", "network"]);
  assert.deepEqual(await pulled(ok), [true, "open", undefined]);
  assert.deepEqual(await pulled((call) => call.says("x", 500)), [false, "waiting", "server-error"]);
  assert.deepEqual(await pulled((call) => call.says("x", 503)), [false, "waiting", "try-again-later"]);
  assert.deepEqual(await pulled(ok), [true, "open", undefined]);
});

test("an abort, a 429, a 404 and a bad body do not make it unreachable", async () => {
  const transport = make();
  const pull = transport.pull();
  last().says(page);
  await pull;
  const abort = new AbortController();
  const aborted = transport.pull({ signal: abort.signal });
  abort.abort();
  await errorOf(aborted);
  assert.equal(transport.isConnected(), true);
  for (const [body, status] of [["<html>", 200], [{}, 200], ["x", 404], ["x", 429]]) {
    await refused(body, status, {}, transport);
    assert.equal(transport.isConnected(), true, `${status}`);
  }
  assert.deepEqual({ ...transport.status }, { state: "waiting", reason: "too-many-requests" });
});

test("retryAt says when the server wants to be asked again", async () => {
  const transport = make();
  const before = Date.now();
  await refused("x", 503, { "Retry-After": "60" }, transport);
  await turns();
  const { retryAt } = transport.status;
  assert.ok(retryAt >= before + 60_000 && retryAt <= Date.now() + 60_000);
  const stays = transport.status.retryAt;
  await turns();
  assert.equal(transport.status.retryAt, stays);
});

test("a device that says it is offline is believed when a request fails, not before", async () => {
  const had = Object.getOwnPropertyDescriptor(globalThis, "navigator");
  Object.defineProperty(globalThis, "navigator", { value: { onLine: false }, configurable: true });
  try {
    const transport = make();
    const first = transport.pull();
    last().says(page);
    await first;
    assert.equal(transport.state, "open");
    const pull = transport.pull();
    last().fails(new TypeError("x"));
    await errorOf(pull);
    assert.deepEqual([{ ...transport.status }, transport.isConnected()], [{ state: "offline", reason: "offline" }, false]);
  } finally {
    if (had) Object.defineProperty(globalThis, "navigator", had);
    else delete globalThis.navigator;
  }
});

test("listeners hear each change once, in order, and a request that changes nothing is silent", async () => {
  const transport = make();
  const heard = [];
  const stop = transport.onStateChange(({ state, reason }) => heard.push(reason ? `${state} (${reason})` : state));
  const connecting = transport.connect();
  last().says("", 200);
  await connecting;
  for (const _ of [1, 2]) {
    const pull = transport.pull();
    last().says(page);
    await pull;
  }
  await refused("x", 500, {}, transport);
  await transport.disconnect();
  stop();
  await refused("x", 500, {}, transport);
  assert.deepEqual(heard, ["connecting", "open", "waiting (server-error)", "closed"]);
});

test("a listener that throws stops neither the others nor the request, and is reported", async () => {
  const transport = make();
  const heard = [];
  transport.onStateChange(() => { throw new Error("mine"); });
  transport.onStateChange(({ state }) => heard.push(state));
  const pull = transport.pull();
  last().says(page);
  await pull;
  await turns();
  assert.deepEqual([heard, said.mock.calls.map((call) => call.arguments[0].code)], [["open"], ["listener-threw"]]);
});

test("a listener that disconnects takes nobody's answer away", async () => {
  const transport = make();
  transport.onStateChange(({ state }) => state === "open" && transport.disconnect());
  const push = transport.push([change("a")]);
  last().says(accepted("a"));
  assert.deepEqual(await push, accepted("a"));
  assert.equal(transport.state, "closed");
});

test("onServerPush is there and never calls, and a listener must be a function", () => {
  const transport = make();
  assert.equal(transport.onServerPush(() => assert.fail("called"))(), undefined);
  for (const method of ["onServerPush", "onStateChange"]) assert.throws(() => transport[method]("x"), { code: "bad-option" });
});

// ------------------------------------------------------------------------------------------------ credentials

const expired = (call) => call.says("expired", 401);

test("a 401 without anybody to ask rejects, and later requests still go out", async () => {
  const transport = make();
  const error = await refused("expired", 401, {}, transport);
  assert.deepEqual([error.message, error.code, error.status, error.retryable], ["Sync pull failed (401): expired", "needs-auth", 401, false]);
  assert.deepEqual({ ...transport.status }, { state: "needs-auth", reason: "unauthenticated" });
  const pull = transport.pull();
  last().says(page);
  await pull;
  assert.equal(transport.state, "open");
});

test("the app is asked once however many requests wait, and each is sent once more with headers asked anew", async () => {
  let token = "old";
  let done;
  const onAuthRequired = mock.fn(() => new Promise((resolve) => { done = resolve; }));
  const transport = make({ onAuthRequired, headers: () => ({ token }) });
  const waiting = [transport.push([change("a")]), transport.pull(), transport.pull({ cursor: "2" })];
  calls.slice(0, 2).forEach(expired);
  await turns();
  assert.deepEqual([onAuthRequired.mock.callCount(), calls.length, transport.state], [1, 3, "needs-auth"]);
  token = "new";
  done();
  await turns();
  assert.equal(calls.length, 5);
  // Sent with the old token, refused after the new one has come.
  expired(calls[2]);
  await turns();
  assert.deepEqual(calls.slice(3).map((call) => call.init.headers.token), ["new", "new", "new"]);
  assert.deepEqual(calls.slice(3).map((call) => call.init.body), calls.slice(0, 3).map((call) => call.init.body));
  calls[3].says(accepted("a"));
  calls[4].says(page);
  calls[5].says(page);
  await Promise.all(waiting);
  assert.deepEqual([onAuthRequired.mock.callCount(), transport.state], [1, "open"]);
});

test("a handler that is not asynchronous is enough", async () => {
  const transport = make({ onAuthRequired: () => {} });
  const pull = transport.pull();
  expired(last());
  await turns();
  last().says(page);
  assert.deepEqual([await pull, calls.length], [page, 2]);
});

test("refused again it rejects, and nobody is asked again before a success or reconnect", async () => {
  const onAuthRequired = mock.fn();
  const transport = make({ onAuthRequired });
  const refusedTwice = async () => {
    const before = calls.length;
    const pull = transport.pull();
    expired(last());
    await turns();
    if (calls.length > before + 1) expired(last());
    return [(await errorOf(pull)).message, calls.length - before, onAuthRequired.mock.callCount(), transport.state];
  };
  const message = "Sync pull failed (401): expired";
  assert.deepEqual(await refusedTwice(), [message, 2, 1, "needs-auth"]);
  assert.deepEqual(await refusedTwice(), [message, 1, 1, "needs-auth"]);
  const pull = transport.pull();
  last().says(page);
  await pull;
  assert.equal(transport.state, "open");
  assert.deepEqual(await refusedTwice(), [message, 2, 2, "needs-auth"]);
  transport.reconnect();
  assert.deepEqual([last().init.method, transport.state], ["HEAD", "connecting"]);
  assert.deepEqual(await refusedTwice(), [message, 2, 3, "needs-auth"]);
});

test("a handler that fails rejects all who wait, with what it threw as the cause", async () => {
  const cause = new Error("signed out");
  let fail;
  const handlers = [() => { throw cause; }, () => new Promise((_, reject) => { fail = () => reject(cause); })];
  for (const [onAuthRequired, requests] of [[handlers[0], 1], [handlers[1], 3]]) {
    const transport = make({ onAuthRequired });
    const waiting = Array.from({ length: requests }, () => transport.pull());
    calls.slice(-requests).forEach(expired);
    await turns();
    fail?.();
    for (const error of await Promise.all(waiting.map(errorOf))) {
      assert.deepEqual([error.code, error.status, error.cause], ["needs-auth", 401, cause]);
    }
    assert.equal(transport.state, "needs-auth");
  }
});

test("who waits for credentials can be aborted, without a timeout meanwhile, and is not sent again", async () => {
  let done;
  const limits = scriptedTime();
  const transport = make({ timeoutMs: 1500, onAuthRequired: () => new Promise((resolve) => { done = resolve; }) });
  const abort = new AbortController();
  const waiting = transport.pull({ signal: abort.signal });
  const other = transport.pull();
  calls.forEach(expired);
  await turns();
  for (const limit of limits) limit.runsOut();
  abort.abort();
  assert.equal(await errorOf(waiting), abort.signal.reason);
  done();
  await turns();
  assert.equal(calls.length, 3);
  last().says(page);
  assert.deepEqual(await other, page);
});

test("reconnect from inside the handler does no harm", async () => {
  const transport = make({ onAuthRequired: () => transport.reconnect() });
  const pull = transport.pull();
  expired(last());
  await turns();
  for (const call of calls.slice(1)) call.says(call.init.method === "HEAD" ? "" : page);
  assert.deepEqual([await pull, calls.length], [page, 3]);
});

test("a ping's 401 asks too, and a health check that needs no token does not heal", async () => {
  const onAuthRequired = mock.fn();
  const transport = make({ pingEndpoint: "me", onAuthRequired });
  const connecting = transport.connect();
  expired(last());
  await turns();
  last().says("", 200);
  await connecting;
  assert.deepEqual([onAuthRequired.mock.callCount(), transport.state], [1, "needs-auth"]);
  const pull = transport.pull();
  last().says(page);
  await pull;
  assert.equal(transport.state, "open");
});

test("reconnect swallows its failure: the state tells", async () => {
  const transport = make();
  assert.equal(transport.reconnect(), undefined);
  last().fails(new TypeError("x"));
  await turns();
  assert.equal(transport.state, "waiting");
});
