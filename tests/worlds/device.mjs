// One device of a world: a real database on bytes that can be put back, the app's own doings on it, and a real client.
// What a process began dies with it; the bytes stay.
import initWasm from "@vlcn.io/crsqlite-wasm";
import { pathToFileURL } from "node:url";
import { resolve } from "node:path";
import { open } from "../node/database.mjs";
import { Disks } from "./disks.mjs";
import { settle, sleep } from "./time.mjs";

const folder = process.env.CRSQLITE_SYNC_PKG ?? resolve(import.meta.dirname, "../../pkg");
const load = (file) => import(pathToFileURL(resolve(folder, file)).href);
const { init, SyncClient } = await load("index.js");
await init();
// Of a package that can do that: to see that worlds notice when a rule of src/rules.rs is left out.
const without = process.env.CRSQLITE_WORLD_WITHOUT;
if (without && !(await load("crsqlite_sync.js")).leaveOut(without)) throw new Error(`there is no rule ${without}`);

await (await open()).close();
const sqlite = await initWasm();
export const disks = new Disks();
sqlite.base.vfs_register(disks);

/** A database on these pages. */
export const openPages = (name, pages) => sqlite.open(disks.put(name, pages));

/** Pages of an empty database of this schema, made once. */
const made = new Map();
async function pagesOf(schema) {
  const name = `schema ${made.size}`;
  const key = schema.join(";");
  if (!made.has(key)) {
    const db = await openPages(name);
    for (const sql of schema) await db.exec(sql);
    made.set(key, disks.pages(name));
    await db.close();
    disks.drop(name);
  }
  return made.get(key);
}

let files = 0;

export class Device {
  /** Copies of the database that may come back. */
  copies = [];
  /** What the client has said, for reports. */
  errors = [];
  /** Waits that have not settled. */
  waiting = 0;
  transport;
  client;
  inTransaction = false;
  online = true;
  #file;
  #world;
  #options;

  constructor(world, number, { tables }, options) {
    this.#world = world;
    this.number = number;
    this.tables = tables ?? undefined;
    this.#options = options;
  }

  /** A device is made: its database has this schema and is its own. */
  async install(schema) {
    await this.#open(await pagesOf(schema));
    const site = Buffer.alloc(16, this.number + 1).toString("hex");
    await this.db.exec(`UPDATE crsql_site_id SET site_id = x'${site}' WHERE ordinal = 0`);
    await this.#reopen(disks.pages(this.#file));
  }

  get isUp() {
    return this.client !== undefined;
  }

  get status() {
    return this.client.status;
  }

  async start() {
    if (this.isUp) return;
    this.transport = this.#world.transport(this);
    this.transport.online = this.online;
    const { batchChanges, pullIntervalMs, jobDelay } = this.#options;
    this.client = new SyncClient({
      db: slow(this.db, () => this.#world.dice.below(jobDelay + 1)),
      transport: this.transport,
      tables: this.tables,
      remoteId: "world",
      multiTab: false,
      batchChanges,
      batchBytes: 2 ** 20,
      ...(this.transport.protocol === "relay" ? {} : { pullIntervalMs, onAuthRequired: () => sleep(this.#world.dice.below(20_000)) }),
    });
    this.client.on("error", (error) => this.errors.push(error));
    this.client.start().catch((error) => this.errors.push(error));
    await settle();
  }

  /** The client goes; the app and its database stay. */
  async stop() {
    const { client, transport } = this;
    if (!client) return;
    this.client = undefined;
    const stopped = client.stop();
    transport.die();
    await stopped;
  }

  async wait(level) {
    if (!this.isUp) return;
    const { client } = this;
    const waits = {
      first: () => client.waitForFirstSync(),
      sent: () => client.waitForSynced({ level: "sent" }),
      stored: () => client.waitForSynced(),
      round: () => client.syncNow(),
      resync: () => client.resync(),
    };
    this.waiting += 1;
    // Whether it resolves is up to what happens; it has to settle.
    waits[level]().catch(() => {}).finally(() => (this.waiting -= 1));
  }

  /** The process dies, and with it the last `lose` transactions, or an older copy takes the database's place. */
  async crash(lose, pages) {
    this.transport?.die();
    this.client?.stop().catch(() => {});
    this.client = undefined;
    this.inTransaction = false;
    await settle();
    await this.#reopen(pages ?? disks.pages(this.#file, lose));
  }

  /** The bytes as they were committed last. */
  get pages() {
    return disks.pages(this.#file);
  }

  async #open(pages) {
    this.#file = `device ${this.number} file ${files++}`;
    this.db = await openPages(this.#file, pages);
  }

  async #reopen(pages) {
    const [db, file] = [this.db, this.#file];
    await this.#open(pages);
    await db.close().catch(() => {});
    disks.drop(file);
  }

  async close() {
    await this.stop();
    await this.db.close().catch(() => {});
    disks.drop(this.#file);
  }

  // ------------------------------------------------------------------------------------------------ the app

  /** One transaction, undone again without `keep`; or more of the one that is open. */
  async write(statements, keep) {
    const run = async (on) => {
      for (const { sql, needs } of statements) {
        if (!needs || (await this.has(...needs, on))) await on.exec(sql);
      }
    };
    if (this.inTransaction) return run(this.db);
    const undone = new Error("undone");
    const body = async (tx) => {
      await run(tx);
      if (!keep) throw undone;
    };
    await this.db.tx(body).catch((error) => {
      if (error !== undone) throw error;
    });
  }

  async begin() {
    if (this.inTransaction) return;
    await this.db.exec("BEGIN");
    this.inTransaction = true;
  }

  async end(keep) {
    if (!this.inTransaction) return;
    this.inTransaction = false;
    await this.db.exec(keep ? "COMMIT" : "ROLLBACK");
  }

  async migrate(parts) {
    if (this.inTransaction) return;
    for (const { unless, sql } of parts) {
      if (!(await this.has(...unless))) await this.#all(sql);
    }
  }

  async toggle({ table, comes, goes }) {
    if (!this.inTransaction) await this.#all((await this.has(table, null)) ? goes : comes);
  }

  #all(statements) {
    return this.db.tx(async (tx) => {
      for (const sql of statements) await tx.exec(sql);
    });
  }

  async has(table, column, on = this.db) {
    const columns = await on.execA(`SELECT name FROM pragma_table_info('${table}')`);
    return columns.length > 0 && (column === null || columns.some(([name]) => name === column));
  }
}

/** The database as the client is given it: its transactions wait for their turn. */
function slow(db, delay) {
  const { filename, siteid, api } = db;
  return {
    filename, siteid, api, db: db.db,
    exec: (...given) => db.exec(...given),
    execA: (...given) => db.execA(...given),
    tx: (body) => db.tx(body),
    prepare: (sql) => db.prepare(sql),
    onUpdate: (listener) => db.onUpdate(listener),
    imperativeTx: async () => {
      await sleep(delay());
      return db.imperativeTx();
    },
  };
}
