// What the push-pull contract says of both transports alike, sentence by sentence, over each of them.
import assert from "node:assert/strict";
import { describe, mock, test } from "node:test";
import { accepted, answer, change, errorOf, make, makeHttp, microtasks, network, on, opened, page, tick, unhandled } from "./contract.mjs";

const over = {
  WsTransport: {
    make: () => opened(),
    api: "WebSocket",
    /** What the server has got, oldest first, as text. */
    sent: () => network.socket.received,
    isFor: (kind, text) => JSON.parse(text).type === kind,
    answer: (result) => answer(network.socket.frames.at(-1), result),
    fail: () => network.socket.drop(),
  },
  HttpTransport: {
    make: async () => makeHttp(),
    api: "fetch",
    sent: () => network.requests.map(({ body }) => body),
    isFor: (kind, text) => network.requests.some(({ path, body }) => path === `/sync/${kind}` && body === text),
    answer: (result) => network.request.respond(result),
    fail: () => network.request.fail(),
  },
};

/** A signal that counts who listens. */
function counted() {
  const listeners = new Set();
  const signal = new AbortController().signal;
  signal.addEventListener = (_, listener) => listeners.add(listener);
  signal.removeEventListener = (_, listener) => listeners.delete(listener);
  return { signal, listeners };
}

for (const [name, wire] of Object.entries(over)) {
  describe(name, () => {
    test("calls what the network needs before push and pull return", async () => {
      const transport = await wire.make();
      transport.push([change("a")]);
      transport.pull({ cursor: "c" });
      assert.equal(wire.sent().length, 2);
      assert.ok(wire.isFor("push", wire.sent()[0]) && wire.isFor("pull", wire.sent()[1]));
    });

    test("never asks for a window", async (t) => {
      const asked = mock.fn();
      Object.defineProperty(globalThis, "window", { get: asked, configurable: true });
      t.after(() => delete globalThis.window);
      const transport = await wire.make();
      const pull = transport.pull({ timeout: 50 });
      wire.answer(page);
      await pull;
      await transport.disconnect();
      assert.equal(asked.mock.callCount(), 0);
    });

    test("writes records as JSON.stringify does, key order and toJSON included", async () => {
      const transport = await wire.make();
      const records = [{ ...change("a"), data: { z: 1, a: { toJSON: () => "mine" }, gone: undefined, 1: "number first", n: NaN } }];
      transport.push(records);
      assert.ok(wire.sent()[0].includes(JSON.stringify({ changes: records })), wire.sent()[0]);
    });

    test("gives the server's own objects, with whatever else they hold", async () => {
      const transport = await wire.make();
      const pull = transport.pull();
      wire.answer({ ...page, changes: [{ ...change("s"), extra: 1 }], cursor: "c", more: true });
      assert.deepEqual(await pull, { ...page, changes: [{ ...change("s"), extra: 1 }], cursor: "c", more: true });
    });

    test("completes a push result: no stranger is accepted, and no change goes unmentioned", async () => {
      const transport = await wire.make();
      const push = transport.push([change("a"), change("b")]);
      wire.answer(accepted("a", "stranger"));
      const result = await push;
      assert.deepEqual(result.accepted.map(({ id }) => id), ["a"]);
      assert.deepEqual(result.errors.map(({ id }) => id), ["b"]);
    });

    for (const [what, broken] of [["push", { accepted: {} }], ["pull", { changes: {} }]]) {
      test(`rejects an answer to a ${what} that breaks the contract`, async () => {
        const transport = await wire.make();
        const request = transport[what]([]);
        wire.answer(broken);
        const error = await errorOf(request);
        assert.deepEqual([error.name, error.code], ["SyncResponseValidationError", "invalid-response"]);
      });
    }

    test("sends nothing for a signal that has fired, and rejects with its reason", async () => {
      const transport = await wire.make();
      const why = new Error("changed my mind");
      assert.equal(await errorOf(transport.push([], { signal: AbortSignal.abort(why) })), why);
      assert.equal(await errorOf(transport.pull({ signal: AbortSignal.abort(why) })), why);
      assert.deepEqual(wire.sent(), []);
    });

    test("gives a reason of its own where an old signal has none", async () => {
      const transport = await wire.make();
      const error = await errorOf(transport.pull({ signal: { aborted: true } }));
      assert.deepEqual([error.name, error.code], ["AbortError", "aborted"]);
      assert.deepEqual(wire.sent(), []);
    });

    test("rejects with the reason of a signal that fires later, an AbortError by name where none was given", async () => {
      const transport = await wire.make();
      for (const why of [undefined, new Error("mine"), "just a word"]) {
        const abort = new AbortController();
        const push = transport.push([], { signal: abort.signal });
        abort.abort(why);
        const reason = await errorOf(push);
        assert.equal(reason, abort.signal.reason);
        if (why === undefined) assert.equal(reason.name, "AbortError");
      }
      const pull = transport.pull();
      wire.answer(page);
      assert.deepEqual(await pull, page);
    });

    for (const [how, end] of Object.entries({
      "an answer": () => wire.answer(page),
      "a bad answer": () => wire.answer({}),
      "a timeout": () => tick(50),
      "a lost connection": () => wire.fail(),
      disconnect: (transport) => transport.disconnect(),
    })) {
      test(`leaves no abort listener behind after ${how}`, async () => {
        // Its own timer, not the platform's: the case moves the clock.
        const { timeout } = AbortSignal;
        AbortSignal.timeout = undefined;
        try {
          const transport = await wire.make();
          const { signal, listeners } = counted();
          const pull = transport.pull({ signal, timeout: 50 }).catch((error) => error);
          await microtasks();
          assert.ok(listeners.size > 0);
          end(transport);
          await pull;
          await microtasks();
          assert.equal(listeners.size, 0);
        } finally {
          AbortSignal.timeout = timeout;
        }
      });
    }

    test("lets nobody's rejection go unhandled", async () => {
      const transport = await wire.make();
      transport.push([change("a")]);
      transport.pull();
      wire.fail();
      transport.connect();
      transport.push([], { signal: AbortSignal.abort() });
      transport.push([{ n: 1n }]);
      await transport.disconnect();
      transport.pull();
      // A rejection counts as unhandled when the microtasks are done.
      await new Promise((resolve) => setImmediate(resolve));
      assert.deepEqual(unhandled, []);
    });

    test("settles disconnect in microtasks, twice, also when the global API is gone", async () => {
      const transport = await wire.make();
      transport.pull();
      delete globalThis[wire.api];
      let settled = 0;
      transport.disconnect().then(() => (settled += 1));
      transport.disconnect().then(() => (settled += 1));
      await microtasks();
      assert.deepEqual([settled, transport.state], [2, "closed"]);
    });

    test("throws a plain Error that names the API which is missing", () => {
      delete globalThis[wire.api];
      const construct = name === "WsTransport" ? make : makeHttp;
      assert.throws(construct, (error) => error instanceof Error && error.message.includes(`requires ${wire.api} API`));
      on({ plain: true });
    });

    test("is not connected before anybody asked it to", () => {
      const transport = name === "WsTransport" ? make() : makeHttp();
      assert.deepEqual([transport.state, transport.isConnected()], ["idle", false]);
    });

    test("takes push and pull without options, with none, and with options that say nothing", async () => {
      const transport = await wire.make();
      for (const options of [undefined, null, {}, { signal: undefined, cursor: undefined, timeout: undefined }]) {
        const [push, pull] = [transport.push([], options), transport.pull(options)];
        wire.answer(page);
        assert.deepEqual(await pull, page);
        push.catch(() => {});
      }
    });

    test("tells state changes until it is told to stop", async () => {
      const transport = await wire.make();
      const heard = [];
      const stop = transport.onStateChange(({ state }) => heard.push(state));
      await transport.disconnect();
      stop();
      stop();
      transport.connect();
      assert.deepEqual(heard, ["closed"]);
    });
  });
}
