// stop() while a real server has a request and does not answer it: nothing may be left of the client, in a process of its
// own, which ends when there is nothing that keeps it alive.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";
import { WebSocketServer } from "ws";

/** A server that answers pulls and lets every push hang, over HTTP and WebSocket. `pushed` is called at each. */
async function hanging(pushed) {
  const nothing = { changes: [], cursor: "1", hasMore: false };
  const server = createServer((request, response) => {
    if (request.url.startsWith("/sync/push")) return pushed();
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(nothing));
  });
  const sockets = new WebSocketServer({ server });
  sockets.on("connection", (socket) => socket.on("message", (data) => {
    const { type, requestId } = JSON.parse(data);
    if (type === "push") pushed();
    else socket.send(JSON.stringify({ type: "pull_result", requestId, payload: nothing }));
  }));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  const end = () => (server.closeAllConnections(), sockets.clients.forEach((socket) => socket.terminate()), server.close());
  return { url: `http://127.0.0.1:${port}/sync`, wsUrl: `ws://127.0.0.1:${port}/sync/ws`, end };
}

const CHILD = `
  import { over, started } from "./served.mjs";
  const [kind, server] = JSON.parse(process.env.HANGING);
  const device = await started(over[kind](server));
  process.once("SIGUSR2", async () => {
    await device.client.stop();
    console.log("stopped");
  });
  const alive = setTimeout(() => {}, 20_000);
  process.once("SIGUSR2", () => clearTimeout(alive));
  await device.client.waitForFirstSync();
  await device.db.exec("INSERT INTO notes VALUES (1, 'one', 1)");
`;

for (const kind of ["POST", "WS"]) {
  test(`${kind}: stop during a transfer leaves nothing that keeps the process alive`, async () => {
    let child;
    const server = await hanging(() => child.kill("SIGUSR2"));
    try {
      const env = { ...process.env, HANGING: JSON.stringify([kind, server]), NODE_TEST_CONTEXT: undefined };
      const args = ["--input-type=module", "--eval", CHILD];
      child = spawn(process.execPath, args, { cwd: import.meta.dirname, env, stdio: ["ignore", "pipe", "inherit"] });
      let [said, stopped] = ["", undefined];
      child.stdout.on("data", (data) => {
        said += data;
        if (said.includes("stopped")) stopped ??= Date.now();
      });
      const [code, signal] = await once(child, "exit");
      assert.deepEqual([code, signal], [0, null]);
      assert.ok(stopped, said);
      assert.ok(Date.now() - stopped < 3_000, `it lived for ${Date.now() - stopped} ms`);
    } finally {
      child.kill();
      server.end();
    }
  });
}
