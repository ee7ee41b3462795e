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
    console.error("stopped"); // the other stream is the test runner's, which comes with the harness
  });
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
      child = spawn(process.execPath, args, { cwd: import.meta.dirname, env, stdio: ["ignore", "ignore", "pipe"] });
      const exit = once(child, "exit");
      const [said] = await Promise.race([once(child.stderr, "data"), exit]);
      assert.equal(String(said), "stopped\n");
      // Far more than a process needs to end, far less than what it would wait for.
      const patience = setTimeout(() => child.kill(), 10_000);
      const [code] = await exit;
      clearTimeout(patience);
      assert.equal(code, 0, "it had to be ended");
    } finally {
      child?.kill();
      server.end();
    }
  });
}
