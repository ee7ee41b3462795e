// The entry `crsqlite-sync/live`: a query that stays true. Decides when it is run again and which answer counts; never
// writes, and knows neither a framework nor the wasm. Used by react.js, and by apps with any other framework.

import { loadError } from "./error.js";

// What a statement reads, as its bytecode says: NULL stands for what is no table of this file, such as a virtual table.
const READS =
  "SELECT DISTINCT CASE WHEN opcode <> 'VOpen' AND p3 = 0 THEN (SELECT tbl_name FROM sqlite_schema WHERE rootpage = p2) END " +
  "FROM bytecode(?) WHERE opcode IN ('OpenRead', 'ReopenIdx', 'VOpen')";

// What SQLite, cr-sqlite and the client write for themselves, all the time.
const INTERNAL = /^(sqlite|crsql|crsqlite_sync)_|__crsql_/;

export function liveQuery(db, client, sql, bind = [], options = {}) {
  check(db, client, sql, bind, options);
  const { tables } = options;
  const listeners = new Set();
  let reads = tables && new Set(tables); // undefined while not known, null where it cannot be: any write of the app counts
  let watch; // what runs while somebody listens; one that has ended tells nothing any more
  let current = { data: undefined, error: undefined, loading: true, refresh };

  function refresh() {
    if (watch !== undefined) soon(watch);
  }

  function wrote(mine, table) {
    if (!mine.due && (reads ? reads.has(table) : !INTERNAL.test(table))) soon(mine);
  }

  // In a task of its own: a burst of writes, each in a task, is read once and again at its end. Never two runs at once, so
  // that no answer overtakes another.
  function soon(mine) {
    mine.due = true;
    if (!mine.running && mine.timer === undefined) mine.timer = setTimeout(run, 0, mine);
  }

  async function run(mine) {
    mine.running = true;
    mine.due = false;
    mine.timer = undefined;
    try {
      const data = await db.execO(sql, bind);
      tell(mine, { data: same(data, current.data) ? current.data : data, error: undefined });
      if (reads === undefined && mine === watch) reads = await readTables(db, sql);
    } catch (thrown) {
      tell(mine, { data: current.data, error: thrown instanceof Error ? thrown : new Error(String(thrown)) });
    }
    mine.running = false;
    if (mine.due && mine === watch) soon(mine);
  }

  function tell(mine, { data, error }) {
    if (mine !== watch || (!current.loading && data === current.data && error === current.error)) return;
    current = { data, error, loading: false, refresh };
    for (const listener of [...listeners]) call(listener, current);
  }

  function begin() {
    const mine = { running: false, due: false, timer: undefined, offs: [] };
    watch = mine;
    mine.offs.push(db.onUpdate((_type, _database, table) => wrote(mine, table)));
    mine.offs.push(client?.on("applied", (event) => Object.keys(event.tables).forEach((table) => wrote(mine, table))));
    void run(mine);
  }

  function end() {
    for (const off of watch.offs) off?.();
    clearTimeout(watch.timer);
    watch = undefined;
  }

  return {
    get current() {
      return current;
    },
    refresh,
    subscribe(listener) {
      const entry = (result) => listener(result); // of its own, also where one function listens twice
      listeners.add(entry);
      call(entry, current);
      if (watch === undefined) begin();
      return () => {
        if (listeners.delete(entry) && listeners.size === 0) end();
      };
    },
  };
}

// A wrong argument is told where it was given, and not by whatever trips over it later.
function check(db, client, sql, bind, options) {
  const missing = ["execO", "execA", "onUpdate"].find((method) => typeof db?.[method] !== "function");
  if (typeof db?.then === "function") refuse("db is a promise, did you forget await?");
  if (missing) refuse(`db has no method ${missing}(): pass an open database of @vlcn.io/crsqlite-wasm`);
  if (client != null && typeof client.on !== "function") refuse("client must be a SyncClient, or null");
  if (typeof sql !== "string") refuse("sql must be a string");
  if (bind !== null && !Array.isArray(bind)) refuse("bind must be an array");
  if (options === null || typeof options !== "object") refuse("options must be an object");
  if (options.tables != null && !Array.isArray(options.tables)) refuse("tables must be an array of table names");
}

function refuse(message) {
  throw loadError("bad-option", `liveQuery: ${message}`);
}

async function readTables(db, sql) {
  try {
    const names = (await db.execA(READS, [sql])).map(([name]) => name);
    return names.includes(null) ? null : new Set(names);
  } catch {
    return null; // a build of SQLite without the table `bytecode`
  }
}

/** Whether two answers say the same; blobs that are not one object do not. */
function same(rows, before) {
  return (
    rows.length === before?.length &&
    rows.every((row, at) => {
      const columns = Object.keys(row);
      return (
        columns.length === Object.keys(before[at]).length &&
        columns.every((column) => Object.is(row[column], before[at][column]))
      );
    })
  );
}

// What a listener throws is the app's: it is told as any other error of the page, and stops nobody.
function call(listener, result) {
  try {
    listener(result);
  } catch (thrown) {
    setTimeout(() => {
      throw thrown;
    });
  }
}
