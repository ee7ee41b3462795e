// A real database without a client: what a device is to the log. It merges what fits its schema and keeps the rest aside
// until its schema has caught up. Used by `history`.
import initWasm from "@vlcn.io/crsqlite-wasm";
import { open } from "../database.mjs";
import { Disks } from "../../worlds/disks.mjs";
import { merging, row, SELECT } from "./rows.mjs";

const NOTES = "id INTEGER PRIMARY KEY NOT NULL, body, size REAL, n INTEGER NOT NULL DEFAULT 7";
const TAGS = ["CREATE TABLE tags (a TEXT NOT NULL, b NOT NULL, PRIMARY KEY (a, b))", "SELECT crsql_as_crr('main', 'tags')"];
const LOOSE = ["CREATE TABLE loose (k PRIMARY KEY NOT NULL, v, w BLOB)", "SELECT crsql_as_crr('main', 'loose')"];
const notes = (columns) => [`CREATE TABLE notes (${columns})`, "SELECT crsql_as_crr('main', 'notes')"];

const NEWEST = [...notes(`${NOTES}, late TEXT`), ...TAGS, ...LOOSE];
const OLD = [...notes(NOTES), ...TAGS];
const CATCH_UP = ["SELECT crsql_begin_alter('notes')", "ALTER TABLE notes ADD COLUMN late TEXT", "SELECT crsql_commit_alter('notes')", ...LOOSE];
const fitsOld = ({ table, cid }) => table !== "loose" && cid !== "late";

await (await open()).close();
const sqlite = await initWasm();
const disks = new Disks();
sqlite.base.vfs_register(disks);

/** Pages of an empty database of a site: made once. */
const made = new Map();
async function pagesOf(site, isOld) {
  const name = `empty ${site} ${isOld}`;
  if (!made.has(name)) {
    let db = await sqlite.open(disks.put(name));
    for (const sql of isOld ? OLD : NEWEST) await db.exec(sql);
    await db.exec(`UPDATE crsql_site_id SET site_id = x'${Buffer.alloc(16, site).toString("hex")}' WHERE ordinal = 0`);
    await db.close();
    made.set(name, disks.pages(name));
    disks.drop(name);
  }
  return made.get(name);
}

let files = 0;

export class Replica {
  /** What does not fit the schema. */
  aside = [];
  /** Up to here the log was sent everything. */
  uploaded = 0;
  /** What it has received of the log. */
  cursor = null;
  #rows;
  #file = `replica ${(files += 1)}`;

  constructor(site, isOld = false) {
    this.site = Buffer.alloc(16, site).toString("base64");
    this.number = site;
    this.isOld = isOld;
  }

  static async open(site, isOld) {
    const replica = new Replica(site, isOld);
    replica.db = await sqlite.open(disks.put(replica.#file, await pagesOf(site, isOld)));
    return replica;
  }

  async close() {
    await this.db.close();
    disks.drop(this.#file);
  }

  async write(statements) {
    this.#rows = undefined;
    await this.#together(statements);
  }

  /** In one transaction, and so in one version. */
  async #together(statements) {
    await this.db.exec(["BEGIN", ...statements, "COMMIT"].join(";\n"));
  }

  /** All that it knows, each with its name as a record. */
  async rows() {
    this.#rows ??= ((await this.db.execA(SELECT)) ?? []).map(row);
    return this.#rows;
  }

  async head() {
    return Math.max(0, ...(await this.rows()).map(({ row }) => row.db_version));
  }

  /** Merges in this order, in statements of so many rows. */
  async merge(rows, atOnce = 60) {
    if (rows.length === 0) return;
    this.#rows = undefined;
    const fitting = this.isOld ? rows.filter(fitsOld) : rows;
    if (this.isOld) this.aside.push(...rows.filter((row) => !fitsOld(row)));
    const statements = [];
    for (let at = 0; at < fitting.length; at += atOnce) statements.push(merging(fitting.slice(at, at + atOnce)));
    if (statements.length > 0) await this.#together(statements);
  }

  /** Merges what it does not know yet. */
  async learn(rows) {
    const known = new Set((await this.rows()).map(({ said }) => said));
    await this.merge(rows.filter(({ said }) => !known.has(said)).map(({ row }) => row));
  }

  /** Its schema becomes the newest one, and what was kept aside is tried again. */
  async catchUp() {
    if (!this.isOld) return;
    this.isOld = false;
    for (const sql of CATCH_UP) await this.db.exec(sql);
    const { aside } = this;
    this.aside = [];
    await this.merge(aside);
    this.#rows = undefined;
  }

  /** Values, clocks and rows as text: equal means equal. */
  async state() {
    // The marker of a row's first life says no more than that it lives, and not every replica has one.
    const clocks = (await this.rows()).filter(({ row: { cid, cl } }) => cid !== "-1" || cl !== 1).map(({ said }) => said);
    const rows = await this.db.execA(`SELECT 'notes', quote(id), quote(body), quote(size), quote(n), quote(late) FROM notes
      UNION ALL SELECT 'tags', quote(a), quote(b), '', '', '' FROM tags UNION ALL SELECT 'loose', quote(k), quote(v), quote(w), '', '' FROM loose`);
    return [...clocks, ...(rows ?? []).map((row) => JSON.stringify(row))].sort().join("\n");
  }
}
