// One device, in a window or in a worker: a database on IndexedDB, a client on the relay, and what the client has said.
// The tests call its methods by name.
import initSqlite from "@vlcn.io/crsqlite-wasm";
import sqliteWasm from "@vlcn.io/crsqlite-wasm/crsqlite.wasm?url";
import { init, SyncClient, WsTransport } from "crsqlite-sync";

const WRITE = "INSERT INTO notes VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET body = excluded.body";
const now = () => performance.timeOrigin + performance.now();

export class Device {
  /** What the client has said, with the time of day: `{ at, event, value }`. */
  said = [];
  #holding;

  static async open({ user, name, start = true }) {
    await Promise.all([signIn(user), init()]);
    const device = new Device();
    const sqlite = await initSqlite(() => sqliteWasm);
    device.db = await sqlite.open(name);
    await device.db.exec("CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY NOT NULL, body TEXT)");
    await device.db.exec("SELECT crsql_as_crr('main', 'notes')");
    const url = `${location.origin.replace("http", "ws")}/api/v1/sync`;
    const transport = new WsTransport({ protocol: "relay", url, reconnectIntervalMs: 100, maxReconnectIntervalMs: 1000 });
    device.client = new SyncClient({ db: device.db, transport, remoteId: "relay" });
    for (const event of ["status", "applied", "error"]) {
      device.client.on(event, (value) => device.said.push({ at: now(), event, value: event === "error" ? `${value.code}: ${value.message}` : value }));
    }
    if (start) await device.client.start();
    return device;
  }

  start() {
    return this.client.start();
  }

  async stop() {
    await this.client.stop();
    return now();
  }

  status() {
    return { ...this.client.status };
  }

  heard(event) {
    return this.said.filter((said) => said.event === event);
  }

  /** Resolves with the time of day. */
  async write(id, body) {
    await this.db.exec(WRITE, [id, body]);
    return now();
  }

  async synced() {
    await this.client.waitForSynced();
    return now();
  }

  async rows() {
    return this.db.execA("SELECT id, body FROM notes ORDER BY id");
  }

  count() {
    return this.db.execA("SELECT count(*) FROM notes").then(([[count]]) => count);
  }

  /** The app writes, and its transaction stays open until `release`. */
  async hold(id, body) {
    const [release, tx] = await this.db.imperativeTx();
    await tx.exec("BEGIN IMMEDIATE");
    await tx.exec(WRITE, [id, body]);
    this.#holding = { release, tx };
  }

  async release(how = "COMMIT") {
    const { release, tx } = this.#holding;
    await tx.exec(how);
    release();
  }

  /** Nothing of this thread runs for so long. */
  block(ms) {
    const until = performance.now() + ms;
    while (performance.now() < until);
    return now();
  }
}

async function signIn(user) {
  const response = await fetch("/dev/login", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ user }) });
  if (!response.ok) throw new Error(`the relay refused the sign-in: ${response.status}`);
}
