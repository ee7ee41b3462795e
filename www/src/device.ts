// One device: a database, the client that keeps it in step, and what the app does with its tasks. Knows no page;
// the cards of `view/` listen to it. Opened by main.

import type { SQLite3 } from "@vlcn.io/crsqlite-wasm";
import { type AppliedEvent, type MessageTransport, SyncClient, type SyncStatus, WsTransport } from "crsqlite-sync";
import { describeFrame, describeRow, type RowLine, textKey } from "./frames";
import { relayUrl, type Session, signIn } from "./session";
import { tap } from "./tap";

export interface Task {
  readonly id: string;
  readonly title: string;
  readonly done: boolean;
  readonly createdAt: number;
  /** Site ids (hex) of the devices whose value stands in each column: cr-sqlite merges cell by cell. */
  readonly titleBy: string | undefined;
  readonly doneBy: string | undefined;
}

/** One line of the log. */
export interface Traffic {
  readonly way: "saved" | "sent" | "received";
  readonly at: number;
  readonly what: string;
  readonly rows: readonly RowLine[];
}

export interface DeviceEvents {
  tasks: readonly Task[];
  status: SyncStatus;
  applied: AppliedEvent;
  /** Key of a task that the user is changing here, right now. */
  writing: string;
  traffic: Traffic;
}

const LOG_DELAY_MS = 50;

type Db = Awaited<ReturnType<SQLite3["open"]>>;

const SCHEMA = `CREATE TABLE IF NOT EXISTS tasks (
  id TEXT PRIMARY KEY NOT NULL,
  title TEXT NOT NULL DEFAULT '',
  done INTEGER NOT NULL DEFAULT 0,
  created_at INTEGER NOT NULL DEFAULT 0
)`;

export class Device {
  readonly client: SyncClient;
  readonly transport: MessageTransport;
  /** What the user asked for with the switch; the client's own state says what came of it. */
  online = true;
  #listeners: { [K in keyof DeviceEvents]?: Set<(value: DeviceEvents[K]) => void> } = {};
  #reading: Promise<void> | undefined;
  #readAgain = false;

  private constructor(
    readonly name: string,
    readonly db: Db,
    { user, heartbeatMs }: Session,
    private seenVersion: number,
  ) {
    const socket = new WsTransport({
      protocol: "relay",
      // Asked again at every attempt, so that the cookie is this page's account even if another tab signed in meanwhile.
      url: async () => {
        await signIn(user).catch(() => undefined);
        return relayUrl();
      },
      ...(heartbeatMs && { heartbeatMs, heartbeatTimeoutMs: heartbeatMs }),
    });
    this.transport = tap(socket as MessageTransport, (direction, frame) => {
      this.#emit("traffic", { way: direction, at: Date.now(), ...describeFrame(frame) });
    });
    this.client = new SyncClient({ db, transport: this.transport, remoteId: "relay" });
    this.client.on("status", (status) => this.#emit("status", status));
    this.client.on("applied", (event) => {
      this.#emit("applied", event);
      void this.refresh();
    });
    this.client.on("error", (error) => console.warn(`${name}: ${error.code}: ${error.message}`));
  }

  static async open(sqlite: SQLite3, session: Session, name: string): Promise<Device> {
    const db = await sqlite.open(`demo-${session.user}-${name}`);
    await db.exec(SCHEMA);
    await db.exec("SELECT crsql_as_crr('main', 'tasks')");
    return new Device(name, db, session, await newestVersion(db));
  }

  get siteId(): string {
    return this.db.siteid.toLowerCase();
  }

  /** The switch: cuts this device off, or lets it find its way back. Its database and its client stay as they are. */
  async setOnline(online: boolean): Promise<void> {
    this.online = online;
    this.#emit("status", this.client.status);
    if (!online) return this.transport.disconnect();
    // A first attempt that fails is no end: the transport goes on, and the status says how.
    await this.transport.connect().catch(() => undefined);
  }

  on<K extends keyof DeviceEvents>(event: K, listener: (value: DeviceEvents[K]) => void): void {
    const listeners: Set<(value: DeviceEvents[K]) => void> = (this.#listeners[event] as never) ?? new Set();
    this.#listeners[event] = listeners as never;
    listeners.add(listener);
  }

  async add(title: string): Promise<void> {
    const id = crypto.randomUUID().replaceAll("-", "");
    await this.#write(id, "INSERT INTO tasks (id, title, created_at) VALUES (?, ?, ?)", [id, title, Date.now()]);
  }

  async rename(id: string, title: string): Promise<void> {
    await this.#write(id, "UPDATE tasks SET title = ? WHERE id = ?", [title, id]);
  }

  async setDone(id: string, done: boolean): Promise<void> {
    await this.#write(id, "UPDATE tasks SET done = ? WHERE id = ?", [done ? 1 : 0, id]);
  }

  async remove(id: string): Promise<void> {
    await this.#write(id, "DELETE FROM tasks WHERE id = ?", [id]);
  }

  /** The list, and who wrote each cell, in one read transaction: one wait for the database, one moment in time. */
  async tasks(): Promise<Task[]> {
    let rows: [string, string, number, number][] = [];
    let cells: [Uint8Array, string, string][] = [];
    await this.db.tx(async (tx) => {
      rows = await tx.execA("SELECT id, title, done, created_at FROM tasks ORDER BY created_at, id");
      cells = await tx.execA("SELECT pk, cid, lower(hex(site_id)) FROM crsql_changes WHERE [table] = 'tasks'");
    });
    const writers = new Map(cells.map(([pk, column, site]) => [`${textKey(pk)} ${column}`, site]));
    return rows.map(([id, title, done, createdAt]) => ({
      id,
      title,
      done: done !== 0,
      createdAt: Number(createdAt),
      titleBy: writers.get(`${id} title`),
      doneBy: writers.get(`${id} done`),
    }));
  }

  /** Reads the list again and tells the card. While one reading runs, any number of calls make one more. */
  refresh(): Promise<void> {
    if (this.#reading) {
      this.#readAgain = true;
      return this.#reading;
    }
    this.#reading = (async () => {
      do {
        this.#readAgain = false;
        this.#emit("tasks", await this.tasks());
      } while (this.#readAgain);
    })().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  async #write(id: string, sql: string, bind: (string | number)[]): Promise<void> {
    this.#emit("writing", id);
    await this.db.exec(sql, bind);
    const savedAt = Date.now();
    await this.refresh();
    // The log may come later than the list, and later than what the client reads for sending.
    setTimeout(() => void this.#logSaved(savedAt), LOG_DELAY_MS);
  }

  /** Tells the log which rows the last write made. One changed column is one row. */
  async #logSaved(at: number): Promise<void> {
    const rows = await this.db.execA<[Uint8Array, string, unknown, number, number]>(
      "SELECT pk, cid, val, cl, db_version FROM crsql_changes WHERE db_version > ? AND site_id = crsql_site_id()",
      [this.seenVersion],
    );
    if (rows.length === 0) return;
    this.seenVersion = Math.max(...rows.map((row) => Number(row[4])));
    this.#emit("traffic", {
      way: "saved",
      at,
      what: "saved here",
      rows: rows.map(([pk, cid, value, cl]) => describeRow(pk, cid, value, Number(cl))),
    });
  }

  #emit<K extends keyof DeviceEvents>(event: K, value: DeviceEvents[K]): void {
    for (const listener of [...(this.#listeners[event] ?? [])]) listener(value);
  }
}

async function newestVersion(db: Db): Promise<number> {
  const [row] = await db.execA<[number | null]>("SELECT max(db_version) FROM crsql_changes");
  return Number(row?.[0] ?? 0);
}
