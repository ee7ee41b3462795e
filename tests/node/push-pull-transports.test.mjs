// SyncClient over HttpTransport and WsTransport, against a real server of the contract with its odd ways.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { WebSocket } from "ws";
import { startServer } from "../contract/server.mjs";
import { device, exact, settled, until } from "./harness.mjs";

// Older versions of Node have none.
globalThis.WebSocket ??= WebSocket;

const folder = process.env.CRSQLITE_SYNC_PKG ?? resolve(import.meta.dirname, "../../pkg");
const { HttpTransport, WsTransport } = await import(pathToFileURL(resolve(folder, "index.js")).href);

const T = ["CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, a, b REAL, c TEXT)"];
const servers = [];
after(() => Promise.all(servers.map((server) => server.stop())));

const serve = async (options) => {
  const server = await startServer(options);
  servers.push(server);
  return server;
};
const kinds = {
  http: (server, token) => new HttpTransport({ url: server.url, headers: () => (token?.() ? { Authorization: `Bearer ${token()}` } : {}) }),
  ws: (server, token) => new WsTransport({ url: server.wsUrl, headers: () => (token?.() ? { token: token() } : {}), reconnectIntervalMs: 50 }),
};
const start = async (transport, options = {}) => {
  const made = await device(null, T, { transport, start: false, pullIntervalMs: 200, ...options });
  await made.client.start();
  return made;
};
const stop = (...devices) => Promise.all(devices.map(({ client }) => client.stop()));

for (const [kind, transport] of Object.entries(kinds)) {
  for (const [manner, options] of [
    ["a server of the contract", {}],
    ["the reference server", { reference: true }],
    ["a server that ends with null", { nullAtEnd: true, pageSize: 3 }],
    ["a server that loses every third answer", { loseEvery: 3 }],
  ]) {
    test(`${kind}: two databases keep in step with ${manner}`, async () => {
      const server = await serve(options);
      const [a, b] = [await start(transport(server)), await start(transport(server))];
      for (let id = 1; id <= 6; id++) await a.db.exec(`INSERT INTO t VALUES (${id}, ${id}, ${id}.0, 'x')`);
      await b.db.exec("INSERT INTO t (id, a) VALUES (7, 9223372036854775807)");
      await Promise.all([a, b].map(({ client }) => client.waitForSynced()));
      await settled(a, b);
      await b.db.exec("DELETE FROM t WHERE id = 1");
      await a.db.exec("UPDATE t SET id = 8 WHERE id = 2");
      await settled(a, b);
      await until(async () => JSON.stringify(await exact(a.db, "t")) === JSON.stringify(await exact(b.db, "t")) && (await exact(a.db, "t")).length === 6);
      await stop(a, b);
    });
  }

  test(`${kind}: what is too large for the server goes in parts`, async () => {
    const server = await serve({ maxBytes: 3_000 });
    const [a, b] = [await start(transport(server)), await start(transport(server))];
    await a.db.tx(async (tx) => {
      for (let id = 1; id <= 10; id++) await tx.exec(`INSERT INTO t (id, a) VALUES (${id}, ${id})`);
    });
    await a.client.waitForSynced();
    await settled(a, b);
    assert.equal(a.client.status.rejected, 0);
    assert.equal((await exact(b.db, "t")).length, 10);
    await stop(a, b);
  });

  test(`${kind}: the client asks for credentials where the transport does not`, async () => {
    const server = await serve({ token: "secret" });
    let token;
    let asked = 0;
    const a = await start(transport(server, () => token), {
      onAuthRequired: async () => {
        asked += 1;
        token = "secret";
      },
    });
    await a.db.exec("INSERT INTO t (id, a) VALUES (1, 1)");
    await a.client.waitForSynced();
    assert.equal(asked, 1);
    await until(() => a.client.status.state === "live");
    await stop(a);
  });
}
