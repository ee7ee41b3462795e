// The end of a block as the end of a life: what `await using` does with what the package makes. (Node 20 does not know
// the words; the method that they call is called here by hand.)
import assert from "node:assert/strict";
import { test } from "node:test";
import { run } from "./installed.mjs";
import { crsqliteSync, testing } from "./package.mjs";

const { HttpTransport, SyncClient, SyncResponseValidationError, WsTransport } = crsqliteSync;
// Where the engine has no such symbol, as transpilers name it.
const asyncDispose = Symbol.asyncDispose ?? Symbol.for("Symbol.asyncDispose");

test("a socket is closed at the end of its block, and what waits for it is told", async () => {
  const network = new testing.FakeNetwork().install();
  try {
    const transport = new WsTransport({ url: "wss://example.test" });
    const connecting = transport.connect();
    network.socket.accept();
    await connecting;
    const pulling = transport.pull().catch((error) => error.code);
    await transport[asyncDispose]();
    assert.equal(await pulling, "disconnected");
    assert.equal(network.socket.closed.by, "client");
    assert.equal(transport.state, "closed", "it can still be asked");
    await transport[asyncDispose]();
  } finally {
    network.uninstall();
  }
});

test("what is in flight over HTTP ends with its block", async () => {
  const network = new testing.FakeNetwork().install();
  try {
    const transport = new HttpTransport({ url: "https://example.test" });
    const pulling = transport.pull().catch((error) => error.code);
    await network.nextRequest();
    await transport[asyncDispose]();
    assert.equal(await pulling, "disconnected");
    assert.ok(network.request.isAborted);
  } finally {
    network.uninstall();
  }
});

test("nothing can be disposed of at once, because nothing ends at once", () => {
  for (const made of [WsTransport, HttpTransport, SyncClient, SyncResponseValidationError]) {
    assert.equal(made.prototype[Symbol.dispose ?? Symbol.for("Symbol.dispose")], undefined, made.name);
  }
  assert.equal(typeof SyncClient.prototype[asyncDispose], "function");
});

test("an engine without the symbol gets the name that transpilers look for", async () => {
  const found = await run(`
    const { Symbol: native } = globalThis;
    globalThis.Symbol = new Proxy(() => {}, { get: (_, name) => (name === "asyncDispose" ? undefined : native[name]) });
    const { SyncClient, WsTransport } = await import("crsqlite-sync");
    globalThis.Symbol = native;
    print([SyncClient, WsTransport].map((made) => typeof made.prototype[native.for("Symbol.asyncDispose")]));
  `);
  assert.deepEqual(found, ["function", "function"]);
});
