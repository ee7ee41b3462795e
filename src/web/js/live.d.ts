/**
 * A query that stays true: it is run again when the tables that it reads are written, here or by other devices. Needs
 * neither the wasm nor a framework; `crsqlite-sync/react` is made of it.
 */

import type { SyncClient } from "./index.js";

/**
 * Runs `sql` when the first listener comes, and again after every write to a table that it reads: in this tab
 * (`db.onUpdate`), and by other devices and tabs (`client`'s "applied"). A burst of writes is read once, and once more at
 * its end. While nobody listens, nothing runs.
 *
 * SQLite does not tell of writes to tables WITHOUT ROWID, nor of a DELETE without WHERE on a table that is not
 * replicated: `refresh()` after those.
 *
 * Throws "bad-option" where an argument is of the wrong kind.
 */
export function liveQuery<Row extends object = Record<string, any>>(
  db: QueryDatabase,
  client: Pick<SyncClient, "on"> | null | undefined,
  sql: string,
  bind?: readonly unknown[],
  options?: LiveQueryOptions,
): LiveQuery<Row>;

/** Options of `liveQuery`. */
export interface LiveQueryOptions {
  /**
   * The tables whose writes count, as their CREATE statements spell them. Default: those that the statement reads, views
   * resolved; every table of the app where it also reads a virtual one (`json_each` is one) or SQLite cannot tell.
   */
  tables?: readonly string[] | undefined;
}

/** Also a store as Svelte defines it, and an observable in all but name. */
export interface LiveQuery<Row> {
  /** The present result; another object whenever it has changed. */
  readonly current: LiveResult<Row>;
  /** Calls the listener at once with the present result, and then with every other one. Returns what unsubscribes. */
  subscribe(listener: (result: LiveResult<Row>) => void): () => void;
  /** Runs it again, for what SQLite does not tell of. */
  refresh(): void;
}

/** What is known of a query at one moment. */
export interface LiveResult<Row> {
  /** The rows, by column names; undefined before the first answer. The same array as long as they say the same. */
  readonly data: readonly Row[] | undefined;
  /** Of the last run. `data` then keeps what the run before it gave. */
  readonly error: Error | undefined;
  /** No run has ended yet. */
  readonly loading: boolean;
  /** Runs it again, for what SQLite does not tell of. */
  readonly refresh: () => void;
}

/** What is needed of a database. The `DB` of `@vlcn.io/crsqlite-wasm` satisfies this as it is. */
export interface QueryDatabase {
  /** Rows as objects. */
  execO(sql: string, bind?: any[]): Promise<any[]>;
  /** Rows as arrays. */
  execA(sql: string, bind?: any[]): Promise<any[]>;
  /** SQLite's update hook. Returns what unsubscribes. */
  onUpdate(listener: (type: number, database: string, table: string, rowid: bigint) => void): () => void;
}
