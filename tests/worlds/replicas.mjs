// What a database holds, as text: equal texts are equal replicas, bit by bit, clocks and values.
import { exact } from "../node/database.mjs";

const list = (tables) => tables.map((table) => `'${table}'`).join(", ");

/** Values and clocks, without whose and when. The marker of a row's first life says no more than that it lives. */
export async function state(db, tables) {
  const clocks = await db.execA(`SELECT "table", hex(pk), cid, hex(crsql_pack_columns(val)), col_version, cl FROM crsql_changes
    WHERE "table" IN (${list(tables)}) AND NOT (cid = '-1' AND cl = 1) ORDER BY 1, 2, 3`);
  const rows = [];
  for (const table of tables) rows.push(...(await exact(db, table)).map((row) => [table, ...row]));
  return [...clocks, ...rows].map((line) => JSON.stringify(line)).join("\n");
}

/** Every row of crsql_changes as a merge of it. */
export async function held(db, tables) {
  const columns = ["[table]", "pk", "cid", "val", "col_version", "db_version", "site_id", "cl", "seq"];
  const values = columns.map((column) => `quote(${column})`).join(" || ', ' || ");
  const rows = await db.execA(`SELECT 'INSERT INTO crsql_changes (${columns.join(", ")}) VALUES (' || ${values} || ')'
    FROM crsql_changes WHERE "table" IN (${list(tables)})`);
  return rows.map(([sql]) => sql);
}

/** The lines that not all have, with who has them. */
export function difference(states) {
  const sets = states.map((state) => new Set(state.split("\n")));
  const all = new Set(sets.flatMap((set) => [...set]));
  const has = (line) => sets.flatMap((set, n) => (set.has(line) ? [`d${n}`] : []));
  const odd = [...all].map((line) => [line, has(line)]).filter(([, who]) => who.length < sets.length);
  return odd.slice(0, 40).map(([line, who]) => `  ${line}    only ${who.join(" ")}`).join("\n");
}
