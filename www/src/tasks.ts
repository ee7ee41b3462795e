// What this app keeps: the table of tasks, and how it reads and writes it. Plain SQL over crsqlite-wasm; nothing here
// knows of syncing. Called by device.

import type { SQLite3 } from "@vlcn.io/crsqlite-wasm";

export type Db = Awaited<ReturnType<SQLite3["open"]>>;

export const PRIORITIES = ["none", "low", "high"] as const;

export interface Task {
  readonly id: string;
  readonly title: string;
  readonly notes: string;
  readonly done: boolean;
  /** Index into `PRIORITIES`. */
  readonly priority: number;
  readonly createdAt: number;
  /** Column → site id (hex) of the device whose value stands in it: cr-sqlite merges cell by cell. */
  readonly writers: Readonly<Record<string, string>>;
}

/** What the user may change of a task. */
export type Edit = Partial<Pick<Task, "title" | "notes" | "done" | "priority">>;

/** Some of the list, from `offset` on, and how long all of it is. */
export interface Slice {
  readonly count: number;
  readonly open: number;
  readonly offset: number;
  readonly tasks: readonly Task[];
}

/** A replicated table wants a key that is NOT NULL, and a DEFAULT for every other NOT NULL column. */
const SCHEMA = [
  `CREATE TABLE IF NOT EXISTS tasks (
    id TEXT PRIMARY KEY NOT NULL,
    title TEXT NOT NULL DEFAULT '',
    notes TEXT NOT NULL DEFAULT '',
    done INTEGER NOT NULL DEFAULT 0,
    priority INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL DEFAULT 0
  )`,
  "SELECT crsql_as_crr('main', 'tasks')",
  "CREATE INDEX IF NOT EXISTS tasks_newest ON tasks (created_at DESC, id)",
];

export async function createSchema(db: Db): Promise<void> {
  for (const sql of SCHEMA) await db.exec(sql);
}

/** Newest first. One read transaction: one wait for the database, one moment in time. */
export async function readSlice(db: Db, from: number, limit: number): Promise<Slice> {
  let slice: Slice | undefined;
  await db.tx(async (tx) => {
    const [[count, done] = [0, 0]] = await tx.execA<[number, number]>("SELECT count(*), total(done) FROM tasks");
    const offset = Math.max(0, Math.min(from, Number(count) - limit));
    const rows = await tx.execA(
      "SELECT id, title, notes, done, priority, created_at FROM tasks ORDER BY created_at DESC, id LIMIT ? OFFSET ?",
      [limit, offset],
    );
    // Who wrote each cell stands in cr-sqlite's own tables. An app needs that only to show it, as this one does.
    const ids = rows.map(([id]) => id);
    const cells = await tx.execA(
      `SELECT pks.id, clock.col_name, lower(hex(site.site_id)) FROM tasks__crsql_pks AS pks
       JOIN tasks__crsql_clock AS clock ON clock.key = pks.__crsql_key
       JOIN crsql_site_id AS site ON site.ordinal = clock.site_id
       WHERE pks.id IN (${ids.map(() => "?").join()})`,
      ids,
    );
    const writers = new Map<string, Record<string, string>>(ids.map((id) => [id, {}]));
    for (const [id, column, site] of cells) writers.set(id, { ...writers.get(id), [column]: site });
    slice = { count: Number(count), open: Number(count) - Number(done), offset, tasks: rows.map((row) => asTask(row, writers)) };
  });
  if (!slice) throw new Error("the transaction did not run");
  return slice;
}

function asTask([id, title, notes, done, priority, createdAt]: any[], writers: Map<string, Record<string, string>>): Task {
  return { id, title, notes, done: done !== 0, priority: Number(priority), createdAt: Number(createdAt), writers: writers.get(id) ?? {} };
}

export async function insertTask(db: Db, id: string, title: string): Promise<void> {
  await db.exec("INSERT INTO tasks (id, title, created_at) VALUES (?, ?, ?)", [id, title, Date.now()]);
}

/** Writes only the columns that were edited, so that what others edit in the rest of the row stands. */
export async function updateTask(db: Db, id: string, edit: Edit): Promise<void> {
  const columns = Object.keys(edit);
  const values = Object.values(edit).map((value) => (typeof value === "boolean" ? Number(value) : value));
  await db.exec(`UPDATE tasks SET ${columns.map((column) => `${column} = ?`).join(", ")} WHERE id = ?`, [...values, id]);
}

export async function deleteTask(db: Db, id: string): Promise<void> {
  await db.exec("DELETE FROM tasks WHERE id = ?", [id]);
}

/** A key that no other device makes as well. */
export const newId = (): string => crypto.randomUUID().replaceAll("-", "");
