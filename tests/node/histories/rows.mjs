// Rows of crsql_changes as the protocols write them, from a database and into one, bit by bit. Decides how each value is
// spelled; never what is sent. Used by everything in this folder.
import { createHash } from "node:crypto";

/** What a database knows after a version, with all that names a row. */
export const SELECT = `SELECT "table", hex(pk), cid, typeof(val), CASE typeof(val) WHEN 'blob' THEN hex(val) WHEN 'integer' THEN CAST(val AS TEXT)
  ELSE val END, col_version, db_version, hex(site_id), cl, seq, hex(crsql_pack_columns("table", pk, cid, val, col_version, cl, site_id)) FROM crsql_changes`;

const base64 = (hex) => Buffer.from(hex, "hex").toString("base64");
const hex = (text) => Buffer.from(text, "base64").toString("hex");
const real = (number) => (Object.is(number, -0) ? "-0" : String(number));

const forms = {
  null: () => null,
  text: (text) => text,
  integer: (digits) => (Number.isSafeInteger(Number(digits)) ? Number(digits) : { $int: digits }),
  real: (number) => ({ $real: real(number) }),
  blob: (bytes) => ({ $blob: base64(bytes) }),
};

/** A row of the query above as a message has it, with what it says (see `said`) and what its name as a record is made of. */
export function row([table, pk, cid, type, val, col_version, db_version, site, cl, seq, packed]) {
  const row = { table, pk: base64(pk), cid, val: forms[type](val), col_version, db_version, site_id: base64(site), cl, seq };
  return { row, said: said(row), packed };
}

/** The same as a record of the push-pull contract. */
export function record({ packed, row: { table, db_version, seq, ...data } }) {
  const id = createHash("sha256").update(Buffer.from(packed, "hex")).digest("base64url");
  const timestamp = "2026-01-01T00:00:00.000Z";
  return { id, collection: table, recordId: id, type: "create", data, prevData: null, timestamp, status: "pending", retries: 0, errorMessage: null, createdAt: timestamp, updatedAt: timestamp };
}

export const rowOfRecord = ({ collection, data }) => ({ table: collection, ...data, db_version: 0, seq: 0 });

/** A message whose values keep what JSON.parse would lose: that 5.0 is no integer. */
export const parse = (text) => JSON.parse(text.replace(/"val":(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)/g, (all, number) => (/[.eE]/.test(number) ? `"val":{"$real":"${number}"}` : all)));

const MINIMUM = "-9223372036854775808";

function literal(val) {
  if (val === null) return "NULL";
  if (typeof val === "string") return `'${val.replaceAll("'", "''")}'`;
  if (typeof val === "number") return String(val);
  if (val.$int) return val.$int === MINIMUM ? "(-9223372036854775807 - 1)" : val.$int;
  if (val.$blob !== undefined) return `x'${hex(val.$blob)}'`;
  const number = Number(val.$real);
  if (!Number.isFinite(number)) return number < 0 ? "-9e999" : "9e999";
  return /[.e]/.test(real(number)) ? real(number) : `${real(number)}.0`;
}

/** One statement that merges them. A foreign clock never becomes one's own. */
export function merging(rows) {
  const tuple = ({ table, pk, cid, val, col_version, site_id, cl, seq }) =>
    `('${table}', x'${hex(pk)}', '${cid}', ${literal(val)}, ${col_version}, 0, x'${hex(site_id)}', ${cl}, ${seq})`;
  return `INSERT INTO crsql_changes ([table], pk, cid, val, col_version, db_version, site_id, cl, seq) VALUES ${rows.map(tuple).join(", ")}`;
}

/** What two replicas must agree on, as text: neither whose it is nor when it came. */
export const said = ({ table, pk, cid, val, col_version, cl }) => JSON.stringify([table, pk, cid, exact(val), col_version, cl]);
const exact = (val) => (val?.$real === undefined ? val : { $real: real(Number(val.$real)) });
