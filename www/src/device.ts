// One device: a database, the client that keeps it in step, and what the app does with its tasks. Knows no page;
// the cards of `view/` listen to it. Opened by main.

import type { SQLite3 } from "@vlcn.io/crsqlite-wasm";
import { type AppliedEvent, SyncClient, type SyncError, type SyncStatus, WsTransport } from "crsqlite-sync";
import { clear, fill, type Progress } from "./bulk";
import { Link, type Seen } from "./link";
import { addressOfRelay, databaseOf, type Protocol, type Session, signIn } from "./session";
import { createSchema, type Db, deleteTask, type Edit, insertTask, newId, readSlice, type Slice, updateTask } from "./tasks";

export interface DeviceEvents {
  /** The list may have changed: read it again. */
  changed: undefined;
  status: SyncStatus;
  applied: AppliedEvent;
  error: SyncError;
  /** Key of a task that the user is changing here, right now. */
  writing: string;
  message: Seen;
  /** A long write of this device, `undefined` when it is over. */
  work: Work | undefined;
}

export interface Work {
  readonly what: "fill" | "clear";
  readonly done: number;
  readonly total: number;
}

/** Sooner than the package's own 30 s, so that a silent link is found out while somebody watches. */
const HEARTBEAT_MS = 10_000;

export class Device {
  /** What the user asked for with the switch; the client's own state says what came of it. */
  online = true;
  readonly link = new Link((message) => this.#emit("message", message));
  #protocol: Protocol = "relay";
  #transport: WsTransport;
  #client: SyncClient;
  #listeners: { [K in keyof DeviceEvents]?: Set<(value: DeviceEvents[K]) => void> } = {};

  private constructor(
    readonly name: string,
    readonly db: Db,
    readonly session: Session,
  ) {
    [this.#transport, this.#client] = this.#make();
  }

  static async open(sqlite: SQLite3, session: Session, name: string): Promise<Device> {
    const db = await sqlite.open(databaseOf(session.user, name));
    await createSchema(db);
    return new Device(name, db, session);
  }

  #make(): [WsTransport, SyncClient] {
    const protocol = this.#protocol;
    const transport = new WsTransport({
      protocol,
      // Asked again at every attempt, so that the cookie is this page's account even if another tab signed in meanwhile.
      url: async () => {
        await signIn(this.session.signedInAs).catch(() => undefined);
        return addressOfRelay(protocol);
      },
      reconnectIntervalMs: 1_000,
      maxReconnectAttempts: 0,
      heartbeatMs: this.session.heartbeatMs ?? HEARTBEAT_MS,
      heartbeatTimeoutMs: this.session.heartbeatMs ?? HEARTBEAT_MS / 2,
    });
    const client = new SyncClient({
      db: this.db,
      transport: protocol === "relay" ? this.link.frames(transport) : this.link.calls(transport),
      remoteId: protocol,
    });
    client.on("status", (status) => this.#emit("status", status));
    client.on("applied", (event) => {
      this.#emit("applied", event);
      this.#emit("changed", undefined);
    });
    client.on("error", (error) => {
      console.warn(`${this.name}: ${error.code}: ${error.message}`);
      this.#emit("error", error);
    });
    return [transport, client];
  }

  get client(): SyncClient {
    return this.#client;
  }

  /** Why the state is what it is: of the client, or else of its connection. */
  get reason(): string | undefined {
    return this.#client.status.reason ?? this.#transport.status.reason;
  }

  get siteId(): string {
    return this.db.siteid.toLowerCase();
  }

  get protocol(): Protocol {
    return this.#protocol;
  }

  /** Another protocol to the same log: another client on the same database. Not while this device is switched off. */
  async speak(protocol: Protocol): Promise<void> {
    if (protocol === this.#protocol || !this.online) return;
    this.#protocol = protocol;
    await this.#client.stop();
    await this.#transport.disconnect();
    [this.#transport, this.#client] = this.#make();
    await this.#client.start();
    this.#emit("status", this.#client.status);
  }

  /** The switch: cuts this device off, or lets it find its way back. Its database and its client stay as they are. */
  async setOnline(online: boolean): Promise<void> {
    this.online = online;
    this.#emit("status", this.#client.status);
    if (!online) return this.#transport.disconnect();
    // A first attempt that fails is no end: the transport goes on, and the status says how.
    await this.#transport.connect().catch(() => undefined);
  }

  /** Closes the socket, as a network does. Nobody is told but the transport, which finds its way back by itself. */
  breakLink(): void {
    this.#transport.drop();
  }

  /** After a sign-in: what was refused or given up is tried again at once. */
  reconnect(): void {
    this.#transport.reconnect();
  }

  /** After the client has stopped for good: "failed". */
  async startAgain(): Promise<void> {
    await this.#client.stop();
    await this.#client.start();
    if (!this.online) await this.#transport.disconnect();
  }

  on<K extends keyof DeviceEvents>(event: K, listener: (value: DeviceEvents[K]) => void): void {
    const listeners: Set<(value: DeviceEvents[K]) => void> = (this.#listeners[event] as never) ?? new Set();
    this.#listeners[event] = listeners as never;
    listeners.add(listener);
  }

  read(from: number, limit: number): Promise<Slice> {
    return readSlice(this.db, from, limit);
  }

  async add(title: string): Promise<string> {
    const id = newId();
    this.#emit("writing", id);
    await insertTask(this.db, id, title);
    this.#emit("changed", undefined);
    return id;
  }

  async edit(id: string, edit: Edit): Promise<void> {
    this.#emit("writing", id);
    await updateTask(this.db, id, edit);
    this.#emit("changed", undefined);
  }

  async remove(id: string): Promise<void> {
    this.#emit("writing", id);
    await deleteTask(this.db, id);
    this.#emit("changed", undefined);
  }

  fill(): Promise<void> {
    return this.#work("fill", (progress) => fill(this.db, this.session.fillRows, progress));
  }

  clear(): Promise<void> {
    return this.#work("clear", (progress) => clear(this.db, progress));
  }

  async #work(what: Work["what"], work: (progress: Progress) => Promise<void>): Promise<void> {
    this.#emit("work", { what, done: 0, total: 1 });
    try {
      await work((done, total) => {
        this.#emit("work", { what, done, total });
        this.#emit("changed", undefined);
      });
    } finally {
      this.#emit("work", undefined);
    }
  }

  #emit<K extends keyof DeviceEvents>(event: K, value: DeviceEvents[K]): void {
    for (const listener of [...(this.#listeners[event] ?? [])]) listener(value);
  }
}
