// An engine of somebody else on our transports, against a real server on this machine: two devices end in step, whatever
// happens on the way. `ws` stands for the browser's WebSocket, and fetch is Node's own.
import assert from "node:assert/strict";
import { after, afterEach, describe, test } from "node:test";
import { WebSocket } from "ws";
import { Engine } from "../contract/engine.mjs";
import { startServer } from "../contract/server.mjs";
import { ContractStore } from "../contract/store.mjs";
import { crsqliteSync, testing } from "./package.mjs";

const { WsTransport, HttpTransport } = crsqliteSync;
globalThis.WebSocket = WebSocket;
console.error = () => {};

const unhandled = [];
process.on("unhandledRejection", (reason) => unhandled.push(reason));
after(() => assert.deepEqual(unhandled, []));

const open = [];
afterEach(async () => {
  for (const thing of open.splice(0).reverse()) await thing.stop();
});
const serve = async (options) => {
  const server = await startServer(options);
  open.push(server);
  return server;
};

const quick = { reconnectIntervalMs: 5, maxReconnectAttempts: 0, requestTimeoutMs: 2000 };
const transports = {
  "a WebSocket": ({ wsUrl }) => new WsTransport({ url: wsUrl, ...quick }),
  "HTTP, pulling by POST": ({ url }) => new HttpTransport({ url, timeoutMs: 2000 }),
  "HTTP, pulling by GET": ({ url }) => new HttpTransport({ url, timeoutMs: 2000, pullMethod: "GET" }),
};
let names = 0;
const device = (transport, options) => {
  const engine = new Engine({ name: `d${(names += 1)}`, transport, ...options });
  open.push(engine);
  engine.start();
  return engine;
};

async function until(check) {
  const deadline = Date.now() + 15_000;
  while (!check()) {
    assert.ok(Date.now() < deadline, `never came true: ${check}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
/** Both have the same records and nothing waits. */
const inStep = (store, ...devices) =>
  until(() => devices.every(({ queue, records }) => queue.length === 0 && same(records, devices[0].records))
    && store.changes.length === written(devices));
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
const written = (devices) => devices.reduce((sum, { count }) => sum + count, 0);

/** Writes some records of its own and some that both write. */
function work(engine, count = 20) {
  for (let n = 0; n < count; n += 1) {
    engine.write("todos", n % 3 === 0 ? `shared-${n}` : `${engine.name}-${n}`, { by: engine.name, n, text: "é😀" });
  }
  engine.write("todos", "shared-0", null);
  engine.count = (engine.count ?? 0) + count + 1;
}

for (const [what, over] of Object.entries(transports)) {
  describe(`over ${what}`, () => {
    test("two devices end in step, and the server has every change once", async () => {
      const server = await serve({ pageSize: 10 });
      const [a, b] = [device(over(server)), device(over(server))];
      work(a);
      work(b);
      await inStep(server.store, a, b);
      assert.equal(new Set(server.store.changes.map(({ id }) => id)).size, 42);
      assert.deepEqual([a.failed, b.failed], [[], []]);
    });

    test("nothing is lost when the server is killed, and started again with what it had", async () => {
      const server = await serve();
      const [a, b] = [device(over(server)), device(over(server))];
      work(a);
      await inStep(server.store, a);
      await server.stop();
      work(a);
      work(b);
      await until(() => a.errors.length > 0 && b.errors.length > 0);
      await serve({ store: server.store, port: server.port });
      await inStep(server.store, a, b);
    });

    test("answers that are lost are asked for again, and no change is booked twice", async () => {
      const server = await serve({ loseEvery: 3, limitEvery: 5 });
      const [a, b] = [device(over(server)), device(over(server))];
      work(a, 40);
      work(b, 40);
      await inStep(server.store, a, b);
      assert.ok(a.errors.length + b.errors.length > 0);
    });

    // It knows no GET.
    if (!what.endsWith("GET")) test("the reference server with its odd ways will do", async () => {
      const server = await serve({ reference: true, pageSize: 10 });
      const [a, b] = [device(over(server)), device(over(server))];
      work(a);
      work(b);
      await inStep(server.store, a, b);
    });

    test("a last page with the cursor null starts nothing over", async () => {
      const server = await serve({ nullAtEnd: true, pageSize: 4 });
      const [a, b] = [device(over(server)), device(over(server))];
      work(a);
      await inStep(server.store, a);
      work(b);
      await inStep(server.store, a, b);
    });

    test("a change that the server refuses stands alone, and one in conflict takes the server's record", async () => {
      const judge = ({ recordId }) => {
        if (recordId === "bad") return { error: "no such list" };
        return recordId === "old" ? { conflict: { remote: { by: "server" } } } : undefined;
      };
      const server = await serve({ store: new ContractStore({ judge }) });
      const a = device(over(server));
      a.write("todos", "bad", {});
      a.write("todos", "old", { by: a.name });
      a.write("todos", "good", {});
      await until(() => a.queue.length === 0);
      assert.deepEqual(a.failed.map(({ recordId, errorMessage }) => [recordId, errorMessage]), [["bad", "no such list"]]);
      assert.deepEqual(a.records["todos/old"], { by: "server" });
      assert.deepEqual(server.store.changes.map(({ recordId }) => recordId), ["good"]);
    });

    test("an engine that stops in the middle of a request is told AbortError, and nothing else", async () => {
      const server = await serve();
      const a = device(over(server));
      await until(() => server.requests.some((request) => request.endsWith("pull")));
      await a.sync();
      const before = a.errors.length;
      a.write("todos", "1", {});
      assert.equal(a.queue[0].status, "syncing");
      await a.stop();
      assert.equal(a.queue.length, 1);
      assert.deepEqual(a.errors.slice(before), []);
    });
  });
}

describe("over a WebSocket", () => {
  test("what one device pushes, the other hears without asking", async () => {
    const server = await serve();
    const over = transports["a WebSocket"];
    const [a, b] = [device(over(server), { pollMs: 0 }), device(over(server), { pollMs: 0 })];
    await until(() => server.sockets.length === 2);
    await Promise.all([a.sync(), b.sync()]);
    const asked = server.requests.length;
    a.write("todos", "1", { heard: true });
    await until(() => b.records["todos/1"]?.heard);
    assert.deepEqual(server.requests.slice(asked).filter((request) => request === "ws push").length, 1);
  });

  test("a token that is asked for at every attempt heals what the server refused", async () => {
    const server = await serve({ token: "second" });
    let token = "first";
    const transport = new WsTransport({ url: server.wsUrl, headers: () => ({ token }), ...quick });
    const a = device(transport);
    work(a);
    await until(() => transport.state === "needs-auth");
    assert.equal(server.store.changes.length, 0);
    token = "second";
    transport.reconnect();
    await inStep(server.store, a);
  });
});

test("a socket that is given up before it opens does no harm where errors without a listener are fatal", async () => {
  const server = await serve();
  for (const end of ["disconnect", "reconnect"]) {
    const transport = transports["a WebSocket"](server);
    transport.connect();
    transport[end]();
    await transport.disconnect();
  }
  // What `ws` tells of such a socket it tells a moment later.
  await new Promise((resolve) => setTimeout(resolve, 20));
});

test("one device over HTTP and one over a WebSocket end in step", async () => {
  const server = await serve({ limitEvery: 7, loseEvery: 6 });
  const [a, b] = [device(transports["a WebSocket"](server)), device(transports["HTTP, pulling by POST"](server))];
  work(a);
  work(b);
  await inStep(server.store, a, b);
});

describe("on a network that delays, loses, repeats and breaks", () => {
  for (const [what, over] of Object.entries({
    "a WebSocket": () => new WsTransport({ url: "wss://storm.test/sync", ...quick, requestTimeoutMs: 60 }),
    HTTP: () => new HttpTransport({ url: "https://storm.test/sync", timeoutMs: 60 }),
  })) {
    for (const seed of [1, 2, 3]) {
      test(`two devices end in step over ${what}, seed ${seed}`, async () => {
        const store = new ContractStore();
        const faults = { drop: 0.03, lose: 0.03, duplicate: 0.05, reorder: 0.05, delayMs: [0, 4] };
        open.push(storm(store, { seed, faults }));
        const [a, b] = [device(over()), device(over())];
        work(a);
        work(b);
        await inStep(store, a, b);
      });
    }
  }
});

/** The store behind a network of the testing entry. */
function storm(store, options) {
  const network = new testing.FakeNetwork(options).install();
  const carryOut = (asks, body) =>
    asks === "push" ? store.push(body.changes).result : store.pull({ batchSize: 5, ...body });
  network.onSocket = (socket) => {
    socket.accept().onFrame = (text) => {
      const { type, requestId, payload } = JSON.parse(text);
      socket.say({ type: `${type}_result`, requestId, payload: carryOut(type, payload) });
    };
  };
  network.onRequest = (request) => request.respond(request.method === "HEAD" ? undefined : carryOut(request.path.slice(6), request.json));
  return { stop: () => network.uninstall() };
}
