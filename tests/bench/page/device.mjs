// A device of the bench: a database, a client on the relay, and when what has come was in the database. Decides nothing
// about what is measured. Runs in a page that an import map serves.
import initSqlite from "@vlcn.io/crsqlite-wasm";
import { init, SyncClient, WsTransport } from "crsqlite-sync";

export const NOTES = ["CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY NOT NULL, body TEXT)"];

let sqlite;

const isLive = ({ state, pendingChanges }) => state === "live" && pendingChanges === 0;

/** Milliseconds since 1970, as finely as the page has them. */
export const now = () => performance.timeOrigin + performance.now();

export async function openDatabase(name, schema = NOTES) {
  sqlite ??= await initSqlite();
  const db = await sqlite.open(name);
  for (const statement of schema) await db.exec(statement);
  const tables = await db.execA("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '%crsql%' AND name NOT LIKE 'sqlite_%'");
  for (const [table] of tables) await db.exec(`SELECT crsql_as_crr('main', '${table}')`);
  return db;
}

export class Device {
  /** First key of a row → when an "applied" event named it. */
  arrived = new Map();
  errors = [];
  #waiting = new Map();

  /** `name`: of its database on IndexedDB; in memory without one. `url`: the relay's, or a transport. */
  static async open({ url, name, schema, transport, ...options }) {
    const device = new Device();
    await init();
    device.db = await openDatabase(name, schema);
    device.transport = transport ?? new WsTransport({ protocol: "relay", url, reconnectIntervalMs: 50 });
    device.client = new SyncClient({ db: device.db, transport: device.transport, remoteId: "relay", ...options });
    device.client.on("error", ({ code, message }) => device.errors.push(`${code}: ${message}`));
    device.client.on("applied", ({ tables }) => device.#applied(Object.values(tables).flat()));
    return device;
  }

  /** Starts the client, and waits until all that the relay has is here. */
  async start() {
    await this.client.start();
    await this.live();
  }

  /** Nothing more to come or to go. Resolves with when that was so. */
  async live() {
    return isLive(this.client.status) ? now() : this.liveAgain();
  }

  /** The next time that it becomes so. */
  liveAgain() {
    return new Promise((resolve) => {
      const off = this.client.on("status", (status) => {
        if (!isLive(status)) return;
        off();
        resolve(now());
      });
    });
  }

  #applied(keys) {
    const at = now();
    for (const [key] of keys) {
      this.arrived.set(key, at);
      this.#waiting.get(key)?.(at);
      this.#waiting.delete(key);
    }
  }

  /** When the row has been applied here. */
  arrival(key) {
    return this.arrived.get(key) ?? new Promise((resolve) => this.#waiting.set(key, resolve));
  }

  /** Resolves with when the commit was over. */
  async write(id, body) {
    await this.db.exec("INSERT INTO notes VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET body = excluded.body", [id, body]);
    return now();
  }

  rows() {
    return this.db.execA("SELECT id, body FROM notes ORDER BY id");
  }

  /** How many rows it holds, and a text that only equal devices have in common. */
  async digest() {
    const rows = await this.rows();
    const bytes = new TextEncoder().encode(JSON.stringify(rows));
    const digest = await crypto.subtle.digest("SHA-256", bytes);
    return `${rows.length} rows ${Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
  }

  async stop() {
    await this.client.stop();
    await this.db.close();
  }
}
