// The entry `crsqlite-sync/testing`: that its network behaves as the real one does, and that its faults are what they say.
import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, mock, test } from "node:test";
import { load } from "./installed.mjs";

const { FakeNetwork } = await load("crsqlite-sync/testing");
const url = "wss://example.test/";

let network;
const on = (options) => {
  network?.uninstall();
  network = new FakeNetwork(options).install();
};
beforeEach(() => on());
afterEach(() => {
  network.uninstall();
  mock.timers.reset();
});

/** A socket and what it tells, in short. */
function listened(socket = new WebSocket(url)) {
  const heard = [];
  socket.onopen = () => heard.push("open");
  socket.onmessage = ({ data }) => heard.push(data);
  socket.onerror = () => heard.push("error");
  socket.onclose = ({ code, reason, wasClean }) => heard.push([code, reason, wasClean]);
  return { socket, heard };
}
function open(options) {
  if (options !== undefined) on(options);
  const { socket, heard } = listened();
  network.socket.accept();
  heard.length = 0;
  return { socket, heard, server: network.socket };
}
const rejection = (promise) => promise.then(() => assert.fail("it did not reject"), (reason) => reason);

describe("installing", () => {
  test("puts a WebSocket and a fetch on the global, and takes them away again", () => {
    network.uninstall();
    const before = [Object.getOwnPropertyDescriptor(globalThis, "WebSocket"), Object.getOwnPropertyDescriptor(globalThis, "fetch")];
    network.install().install();
    assert.equal(globalThis.WebSocket, network.WebSocket);
    assert.equal(globalThis.fetch, network.fetch);
    network.uninstall();
    network.uninstall();
    const after = [Object.getOwnPropertyDescriptor(globalThis, "WebSocket"), Object.getOwnPropertyDescriptor(globalThis, "fetch")];
    assert.deepEqual(after, before);
  });

  test("leaves no WebSocket behind where there was none", () => {
    network.uninstall();
    const before = Object.getOwnPropertyDescriptor(globalThis, "WebSocket");
    delete globalThis.WebSocket;
    network.install().uninstall();
    assert.equal("WebSocket" in globalThis, false);
    if (before) Object.defineProperty(globalThis, "WebSocket", before);
  });

  test("ends by itself at the end of a block, where the language knows disposal", { skip: !Symbol.dispose }, () => {
    network[Symbol.dispose]();
    assert.notEqual(globalThis.fetch, network.fetch);
  });

  test("uninstalling ends what was on its way", () => {
    mock.timers.enable({ apis: ["setTimeout"] });
    const { heard, server } = open({ faults: { delayMs: 10 } });
    server.say("late");
    network.uninstall();
    mock.timers.tick(100);
    assert.deepEqual(heard, []);
  });
});

describe("a socket", () => {
  test("opens, hears and is heard inside the call that causes it", () => {
    const { socket, heard } = listened();
    assert.deepEqual([socket.readyState, network.socket.args, network.socket.url], [WebSocket.CONNECTING, [url], url]);
    network.socket.accept().say("text").say({ as: "JSON" });
    socket.send("mine");
    assert.deepEqual(heard, ["open", "text", '{"as":"JSON"}']);
    assert.deepEqual([network.socket.received, socket.readyState], [["mine"], socket.OPEN]);
  });

  test("passes bytes on as they are", () => {
    const { heard, server } = open();
    const frames = [new Uint8Array([1]), new ArrayBuffer(2), new Blob(["x"])];
    for (const frame of frames) server.say(frame);
    assert.deepEqual(heard.map((data, index) => data === frames[index]), [true, true, true]);
  });

  test("tells listeners of both kinds, and those that were taken off no more", () => {
    const { socket, server } = open();
    const heard = [];
    const listener = { handleEvent: ({ type, target }) => heard.push([type, target === socket]) };
    socket.addEventListener("message", listener);
    server.say("x");
    socket.removeEventListener("message", listener);
    server.say("y");
    assert.deepEqual(heard, [["message", true]]);
  });

  test("may be accepted by a handler before anybody could listen, and opens a moment later", async () => {
    network.onSocket = (server) => server.accept().say("welcome");
    const { socket, heard } = listened();
    assert.equal(socket.readyState, 0);
    await null;
    assert.deepEqual(heard, ["open", "welcome"]);
  });

  test("is not made when the handler throws", () => {
    const why = new SyntaxError("bad address");
    network.onSocket = () => { throw why; };
    assert.throws(() => new WebSocket(url), why);
    assert.throws(() => network.socket, /no WebSocket was made/);
  });

  test("fails with an error event and 1006 when it is refused", () => {
    const { heard } = listened();
    network.socket.refuse();
    assert.deepEqual(heard, ["error", [1006, "", false]]);
  });

  test("tells the server's code and reason, after all that was said", () => {
    const { heard, server } = open();
    server.say("last words").close(4001, "who are you?");
    assert.deepEqual(heard, ["last words", [4001, "who are you?", true]]);
    assert.deepEqual(server.closed, { code: 4001, reason: "who are you?", by: "server" });
  });

  test("breaks with 1006 and says nothing more", () => {
    const { socket, heard, server } = open();
    server.drop().say("too late");
    assert.deepEqual([heard, socket.readyState, server.closed.by], [[[1006, "", false]], 3, "network"]);
  });

  for (const [closing, states, told] of [["soon", [2, 3], true], ["at-once", [3, 3], true], ["never", [2, 2], false]]) {
    test(`that the app closes tells so: ${closing}`, async () => {
      const { socket, heard, server } = open({ closing });
      socket.close(3000, "bye");
      const seen = [socket.readyState];
      await null;
      seen.push(socket.readyState);
      assert.deepEqual([seen, heard], [states, told ? [[3000, "bye", true]] : []]);
      assert.deepEqual(server.closed, { code: 3000, reason: "bye", by: "client" });
    });
  }

  test("throws where a browser's throws: sending while it connects, closing with a forbidden code", () => {
    const { socket } = listened();
    assert.throws(() => socket.send("x"), { name: "InvalidStateError" });
    network.socket.accept();
    assert.throws(() => socket.close(1006), { name: "InvalidAccessError" });
    assert.equal(socket.readyState, 1);
  });

  test("swallows what is sent after its end, as a browser's does", () => {
    const { socket, server } = open();
    server.drop();
    socket.send("x");
    assert.deepEqual(server.received, []);
  });

  test("that is half-open tells nothing at all, not even its own close, until it is dropped", async () => {
    const { socket, heard, server } = open();
    server.vanish().say("x").close();
    socket.send("y");
    socket.close();
    await null;
    assert.deepEqual([heard, server.received, socket.readyState], [[], [], 2]);
    server.drop();
    assert.equal(heard.at(-1)[0], 1006);
  });

  test("that is an orphan is closed without an event", () => {
    const { socket, heard, server } = open();
    server.orphan();
    assert.deepEqual([socket.readyState, heard], [3, []]);
  });

  test("shows what is buffered, and whether anybody listens", () => {
    const { socket, server } = open();
    server.bufferedAmount = 5_000_000;
    assert.deepEqual([socket.bufferedAmount, server.isHeard], [5_000_000, true]);
    for (const handler of ["onopen", "onmessage", "onerror", "onclose"]) socket[handler] = null;
    assert.equal(server.isHeard, false);
    socket.addEventListener("close", () => {});
    assert.equal(server.isHeard, true);
  });

  test("can be waited for, and its frames too", async () => {
    const made = network.nextSocket();
    const { socket } = open();
    const server = await made;
    const frames = Promise.all([server.nextFrame(), server.nextFrame()]);
    socket.send("1");
    socket.send('{"n":2}');
    assert.deepEqual([await frames, server.frames], [[1, { n: 2 }], [1, { n: 2 }]]);
  });

  test("is, when plain, nothing but handlers, send and close", () => {
    const { socket } = open({ plain: true });
    const names = ["addEventListener", "bufferedAmount", "CONNECTING", "binaryType"].filter((name) => name in socket);
    assert.deepEqual(names, []);
  });
});

describe("fetch", () => {
  const ask = (init) => fetch("https://example.test/sync/push?a=1#x", init);

  test("shows the request, and waits for ever when nobody answers", async () => {
    const init = { method: "post", headers: { "X-A": 1 }, body: '{"n":1}' };
    const pending = ask(init);
    const { method, path, query, headers, json, init: given, isAnswered } = network.request;
    assert.deepEqual({ method, path, query, headers, json, isAnswered },
      { method: "POST", path: "/sync/push", query: { a: "1" }, headers: { "x-a": "1" }, json: { n: 1 }, isAnswered: false });
    assert.equal(given, init);
    assert.equal(await Promise.race([pending, new Promise((resolve) => setImmediate(resolve, "waiting"))]), "waiting");
  });

  test("answers objects as JSON, text as text, and nothing without a body", async () => {
    const answers = [[{ a: 1 }, "application/json", '{"a":1}'], ["hi", "text/plain; charset=utf-8", "hi"], [undefined, null, ""]];
    for (const [body, type, text] of answers) {
      network.onRequest = (request) => request.respond(body, { status: 201, headers: { "X-B": "2" } });
      const response = await ask();
      assert.deepEqual([response.status, response.headers.get("content-type"), response.headers.get("x-b")], [201, type, "2"]);
      assert.equal(await response.text(), text);
    }
  });

  test("answers pages, and limits with Retry-After", async () => {
    network.onRequest = (request) => request.html();
    const login = await ask();
    assert.match(`${login.headers.get("content-type")} ${await login.text()}`, /^text\/html.*<!doctype html>/);
    network.onRequest = (request) => request.limit(120);
    const limited = await ask();
    assert.deepEqual([limited.status, limited.headers.get("retry-after")], [429, "120"]);
    network.onRequest = (request) => request.limit(undefined, { status: 503 });
    assert.equal((await ask()).headers.get("retry-after"), null);
  });

  test("fails with a TypeError and its cause", async () => {
    const cause = new Error("ECONNREFUSED");
    network.onRequest = (request) => request.fail(cause);
    const error = await rejection(ask());
    assert.deepEqual([error.name, error.cause], ["TypeError", cause]);
  });

  test("counts the first answer only", async () => {
    network.onRequest = (request) => {
      request.respond("first");
      request.fail();
    };
    assert.equal(await (await ask()).text(), "first");
  });

  test("rejects with the signal's reason, and reaches nobody when it was aborted before", async () => {
    const why = new Error("changed my mind");
    assert.equal(await rejection(ask({ signal: AbortSignal.abort(why) })), why);
    assert.equal(network.requests.length, 0);
    const abort = new AbortController();
    const pending = ask({ signal: abort.signal });
    abort.abort(why);
    assert.equal(await rejection(pending), why);
    assert.equal(network.request.isAborted, true);
    network.request.respond("too late");
  });

  test("lets a body take its time, break off, or be aborted", async () => {
    mock.timers.enable({ apis: ["setTimeout"] });
    const slow = ask();
    network.request.respond({ n: 1 }, { bodyDelayMs: 50 });
    const reading = (await slow).json();
    mock.timers.tick(50);
    assert.deepEqual(await reading, { n: 1 });

    const broken = ask();
    network.request.respond("x", { breaksOff: true, bodyDelayMs: 1 });
    const text = (await broken).text();
    mock.timers.tick(1);
    assert.equal((await rejection(text)).name, "TypeError");

    const abort = new AbortController();
    const endless = ask({ signal: abort.signal });
    network.request.respond("x", { bodyDelayMs: Infinity });
    const never = (await endless).text();
    abort.abort();
    assert.equal(await rejection(never), abort.signal.reason);
  });

  test("leaves no listener on a signal once it is settled", async () => {
    const signal = new AbortController().signal;
    const listeners = new Set();
    signal.addEventListener = (_, listener) => listeners.add(listener);
    signal.removeEventListener = (_, listener) => listeners.delete(listener);
    const answers = [(request) => request.respond("x"), (request) => request.fail(), (request) => request.respond("x", { bodyDelayMs: 1 })];
    for (const answer of answers) {
      const pending = ask({ signal });
      assert.equal(listeners.size, 1);
      answer(network.request);
      await pending.then((response) => response.text(), () => {});
      assert.equal(listeners.size, 0);
    }
  });

  test("gives, when plain, the least that counts as a response", async () => {
    on({ plain: true });
    network.onRequest = (request) => request.respond({ a: 1 }, { status: 404 });
    const response = await ask();
    assert.deepEqual(Object.keys(response), ["ok", "status", "text", "json"]);
    assert.deepEqual([response.ok, await response.json(), await response.text()], [false, { a: 1 }, '{"a":1}']);
    network.onRequest = (request) => request.limit(5);
    assert.equal((await ask()).headers.get("Retry-After"), "5");
  });

  test("takes addresses and requests of every kind", () => {
    fetch(new URL("https://example.test/a"));
    fetch(new Request("https://example.test/b", { method: "PUT", headers: { q: "1" } }));
    fetch("/c?d");
    assert.deepEqual(network.requests.map(({ method, path }) => `${method} ${path}`), ["GET /a", "PUT /b", "GET /c"]);
    assert.equal(network.requests[1].headers.q, "1");
  });
});

describe("faults", () => {
  const say = (server, count = 5) => {
    for (let n = 0; n < count; n += 1) server.say(String(n));
  };
  const now = () => mock.timers.enable({ apis: ["setTimeout"] });

  test("a delay keeps frames in order, whatever each one draws", () => {
    now();
    const { heard, server, socket } = open({ faults: { delayMs: [1, 100] } });
    say(server, 50);
    socket.send("up");
    assert.deepEqual([heard, server.received], [[], []]);
    mock.timers.tick(100);
    assert.deepEqual(heard, Array.from({ length: 50 }, (_, n) => String(n)));
    assert.deepEqual(server.received, ["up"]);
  });

  test("a close does not overtake what was said before it", () => {
    now();
    const { heard, server } = open({ faults: { delayMs: [1, 100] } });
    say(server);
    server.close();
    mock.timers.tick(100);
    assert.deepEqual(heard.map(String), ["0", "1", "2", "3", "4", "1000,,true"]);
  });

  test("what breaks takes with it what was on the way", () => {
    now();
    const { heard, server, socket } = open({ faults: { delayMs: 10 } });
    say(server);
    socket.send("up");
    server.drop();
    mock.timers.tick(100);
    assert.deepEqual([heard, server.received], [[[1006, "", false]], []]);
  });

  test("a duplicate arrives twice", () => {
    const { heard, server } = open({ faults: { duplicate: 1 } });
    say(server, 2);
    assert.deepEqual(heard, ["0", "0", "1", "1"]);
  });

  test("reordering swaps neighbours and loses none", () => {
    now();
    const { heard, server } = open({ faults: { reorder: 1 } });
    say(server, 5);
    mock.timers.tick(1000);
    assert.deepEqual(heard, ["1", "0", "3", "2", "4"]);
  });

  test("a lost frame is gone, a drop ends the connection", () => {
    const lossy = open({ faults: { lose: 1 } });
    say(lossy.server);
    assert.deepEqual(lossy.heard, []);
    const breaking = open({ faults: { drop: 1 } });
    say(breaking.server);
    assert.deepEqual(breaking.heard, [[1006, "", false]]);
  });

  test("the same seed draws the same weather, another one other weather", () => {
    const run = (seed) => {
      const { heard, server } = open({ seed, faults: { lose: 0.3, duplicate: 0.3, reorder: 0.3 } });
      say(server, 60);
      return heard.join();
    };
    assert.equal(run(7), run(7));
    assert.notEqual(run(7), run(8));
  });

  test("a socket may have its own", () => {
    const { heard, server } = open({ faults: { lose: 1 } });
    server.faults = {};
    say(server, 1);
    assert.deepEqual(heard, ["0"]);
  });

  test("a request breaks before or after the server has seen it", async () => {
    on({ faults: { drop: 0.5 }, seed: 3 });
    let seen = 0;
    network.onRequest = (request) => {
      seen += 1;
      request.respond("ok");
    };
    const endings = await Promise.allSettled(Array.from({ length: 40 }, () => fetch(url)));
    const answered = endings.filter(({ status }) => status === "fulfilled").length;
    assert.ok(answered > 0 && answered < seen && seen < 40, `${answered} answered, ${seen} seen`);
  });

  test("an answer that is delayed can still be aborted", async () => {
    now();
    on({ faults: { delayMs: 50 } });
    const abort = new AbortController();
    const pending = fetch(url, { signal: abort.signal });
    network.request.respond("x");
    abort.abort();
    assert.equal(await rejection(pending), abort.signal.reason);
    mock.timers.tick(50);
  });

  test("while it is cut nothing passes, and afterwards what is new does", async () => {
    const { heard, server, socket } = open();
    network.cut();
    server.say("x");
    socket.send("y");
    assert.deepEqual([heard, server.received, network.isCut], [[], [], true]);
    const late = listened();
    assert.equal((await rejection(fetch(url))).name, "TypeError");
    assert.deepEqual(late.heard, ["error", [1006, "", false]]);
    network.mend();
    assert.deepEqual(open().server.closed, undefined);
  });
});
