// The real package under Node, and what tests read from a database.
import "./shims.mjs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import initWasm from "@vlcn.io/crsqlite-wasm";

const wasm = createRequire(import.meta.url).resolve("@vlcn.io/crsqlite-wasm/crsqlite.wasm");
let sqlite;

/** Opens a database: in memory, or a named one on (fake) IndexedDB. */
export async function open(name) {
  sqlite ??= await initWasm(() => pathToFileURL(wasm).href);
  return sqlite.open(name);
}

/** Opens a database and makes these tables replicated. */
export async function openWith(schema, name) {
  const db = await open(name);
  await migrate(db, schema);
  return db;
}

export async function migrate(db, schema) {
  for (const statement of schema) await db.exec(statement);
  const tables = await db.execA("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '%crsql%' AND name NOT LIKE 'sqlite_%'");
  for (const [name] of tables) await db.exec(`SELECT crsql_as_crr('main', '${name}')`);
}

/** Every value of a table with its storage class and bytes, in the order of the key: equal means equal. */
export async function exact(db, table) {
  const columns = (await db.execA(`SELECT name FROM pragma_table_info('${table}')`)).map(([name]) => `"${name}"`);
  // Bit by bit: reals as the eight bytes of their packed form, texts and blobs as they lie in the file.
  const shown = columns.map((c) => `typeof(${c}) || ':' || CASE typeof(${c}) WHEN 'real' THEN hex(crsql_pack_columns(${c})) WHEN 'integer' THEN CAST(${c} AS TEXT) WHEN 'null' THEN '' ELSE hex(CAST(${c} AS BLOB)) END`);
  return (await db.execA(`SELECT ${shown.join(", ")} FROM "${table}" ORDER BY ${shown.join(", ")}`)) ?? [];
}

/** The clocks that replicas must agree on: without whose and when. */
export async function clocks(db) {
  return (await db.execA(`SELECT "table", hex(pk), cid, hex(crsql_pack_columns(val)), col_version, cl FROM crsql_changes ORDER BY 1, 2, 3`)) ?? [];
}
