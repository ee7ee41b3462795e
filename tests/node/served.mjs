// Devices on real servers of the push-pull contract, over sockets of this machine, and what has to be true of them in
// the end. Every server that is started here is stopped when the file is done; devices end with the harness.
import assert from "node:assert/strict";
import { after } from "node:test";
import { pathToFileURL } from "node:url";
import { resolve } from "node:path";
import { WebSocket } from "ws";
import { startServer } from "../contract/server.mjs";
import { device, settled, until } from "./harness.mjs";

// Node before 22 has none, and later ones have another than the one that these tests were written with.
globalThis.WebSocket = WebSocket;

const folder = process.env.CRSQLITE_SYNC_PKG ?? resolve(import.meta.dirname, "../../pkg");
const { HttpTransport, WsTransport } = await import(pathToFileURL(resolve(folder, "index.js")).href);

const servers = new Set();
after(() => Promise.all([...servers].map((server) => server.stop().catch(() => {})))); // or stopped already

/** Starts a contract server; its options are in `../contract/server.mjs`. */
export async function serve(options) {
  const server = await startServer(options);
  servers.add(server);
  return server;
}

/** The server that was stopped, on its old port: with its old store, or with the one that is given. */
export const again = (server, store = server.store) => serve({ ...server.options, store });

/** A transport to a server. `app.token` is what it is known by; `app.onAuthRequired` where the transport is to ask. */
export const over = {
  POST: (server, app) => new HttpTransport({ url: server.url, ...http(app) }),
  GET: (server, app) => new HttpTransport({ url: server.url, pullMethod: "GET", ...http(app) }),
  WS: (server, app) =>
    new WsTransport({ url: server.wsUrl, reconnectIntervalMs: 50, maxReconnectAttempts: 0, ...asking(app), ...(app && { headers: () => ({ token: app.token }) }) }),
};
const http = (app) => ({ ...asking(app), ...(app && { headers: () => ({ authorization: `Bearer ${app.token}` }) }) });
const asking = ({ onAuthRequired } = {}) => (onAuthRequired ? { onAuthRequired } : {});

export const NOTES = ["CREATE TABLE notes (id INTEGER PRIMARY KEY NOT NULL, body, size REAL)"];

/** A database with a client that was started. It asks often, so that no test waits for half a minute. */
export async function started(transport, { schema = NOTES, ...options } = {}) {
  const made = await device(null, schema, { transport, start: false, pullIntervalMs: 100, ...options });
  made.statuses = [];
  made.client.on("status", (status) => made.statuses.push(status));
  await made.client.start();
  return made;
}

export const stop = (...devices) => Promise.all(devices.map(({ client }) => client.stop()));

/** Waits until all hold the same changes and nothing is left to be sent; then nothing may have been put aside. */
export async function alike(...devices) {
  const changes = await settled(...devices);
  for (const { client } of devices) {
    await client.waitForSynced();
    const done = ({ state, pendingChanges }) => state === "live" && pendingChanges === 0;
    await until(() => done(client.status), "nothing is left to be sent").catch((error) => {
      throw new Error(`${error.message}: ${JSON.stringify(client.status)}`);
    });
    assert.deepEqual({ quarantine: await client.quarantine(), rejected: await client.rejected() }, { quarantine: [], rejected: [] });
  }
  return changes;
}

export const codes = ({ errors }) => errors.map(({ code }) => code);

/** From now on every request with its moment, in place of the server's own list. */
export function clocked(server) {
  const asked = [];
  server.requests = { push: (what) => asked.push({ what, at: Date.now() }) };
  return asked;
}
