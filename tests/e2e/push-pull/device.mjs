// One device, as a small app without a bundler would have it: plain modules and an import map. `?over=` names its
// transport. `window.device` is what the tests drive.
import initSqlite from "@vlcn.io/crsqlite-wasm";
import { HttpTransport, init, SyncClient, WsTransport } from "crsqlite-sync";

const TRANSPORTS = {
  POST: () => new HttpTransport({ url: `${location.origin}/sync` }),
  GET: () => new HttpTransport({ url: `${location.origin}/sync`, pullMethod: "GET" }),
  WS: () =>
    new WsTransport({
      url: `ws://${location.host}/sync/ws`,
      reconnectIntervalMs: 100,
      maxReconnectAttempts: 0,
      heartbeatTimeoutMs: 1000, // how long a socket is given when the device says that it is offline
    }),
};

async function open() {
  const [sqlite] = await Promise.all([initSqlite(), init()]);
  const db = await sqlite.open("notes");
  await db.exec("CREATE TABLE IF NOT EXISTS notes (id TEXT PRIMARY KEY NOT NULL, body)");
  await db.exec("SELECT crsql_as_crr('notes')");
  const transport = TRANSPORTS[new URLSearchParams(location.search).get("over")]();
  const client = new SyncClient({ db, transport, pullIntervalMs: 200 });
  const errors = [];
  client.on("error", ({ code, message }) => errors.push(`${code}: ${message}`));
  await client.start();
  return { db, transport, client, errors };
}

window.opening = open().then((device) => (window.device = device));
