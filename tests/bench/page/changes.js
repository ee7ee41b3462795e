// What is applied: changes as another device would have made them, the same for all who apply them. Decides the shapes
// (columns, keys, values); each is a function of its numbers, so that every contender gets the same.

/** A row of crsql_changes: [table, pk, cid, val, col_version, db_version, site_id, cl, seq]. */
const SITE = new TextEncoder().encode("another-device-1");
/** Rows of one transaction of that device. */
const ROWS_A_VERSION = 10;

/** The kinds of value, one after the other over the columns. None that a plain bind of JavaScript would change. */
const KINDS = [
  { type: "TEXT", value: (n) => `value ${n} of a column` },
  { type: "INTEGER", value: (n) => n },
  { type: "REAL", value: (n) => n + 0.5 },
  { type: "INTEGER", value: (n) => n % 2 },
];

/** `columns` beside the key; `bytes`: that large is the value of the only column, a text. `random`: keys are texts in no order. */
export function shape({ columns = 4, bytes, random = false } = {}) {
  const kinds = bytes ? [{ type: "TEXT", value: (n) => `${n} `.padEnd(bytes, `of ${bytes} bytes `) }] : KINDS;
  const names = Array.from({ length: bytes ? 1 : columns }, (_, column) => ({ name: `c${column}`, ...kinds[column % kinds.length] }));
  const key = random ? "id TEXT PRIMARY KEY NOT NULL" : "id INTEGER PRIMARY KEY NOT NULL";
  const create = `CREATE TABLE t (${[key, ...names.map(({ name, type }) => `${name} ${type}`)].join(", ")})`;
  return { random, columns: names, schema: [create, "SELECT crsql_as_crr('main', 't')"] };
}

/** A packed key, as cr-sqlite writes it. */
function packed(key) {
  if (typeof key === "string") {
    const text = new TextEncoder().encode(key);
    return Uint8Array.of(1, (1 << 3) | 3, text.length, ...text);
  }
  const bytes = [];
  for (let rest = key; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  return Uint8Array.of(1, (bytes.length << 3) | 1, ...bytes);
}

/** Numbers in no order, each once: multiplied by an odd number modulo 2^32. */
const scattered = (n) => (Math.imul(n + 1, 0x9e3779b1) >>> 0).toString(16).padStart(16, "0");

/** Changes of `rows` rows from number `first` on; `version` is how often they have been written with these. */
export function changes({ random, columns }, { first, rows, version = 1 }) {
  const made = [];
  for (let row = first; row < first + rows; row += 1) {
    const pk = packed(random ? scattered(row) : row + 1);
    for (const [seq, { name, value }] of columns.entries()) {
      made.push(["t", pk, name, value(row * 31 + version), version, Math.floor(row / ROWS_A_VERSION) + 1, SITE, 1, seq]);
    }
  }
  return made;
}

/** What fits into one message of a relay. */
export function* pages(all, { count = 5000, bytes = 512 << 10 } = {}) {
  let page = [];
  let size = 0;
  for (const change of all) {
    const text = wire(change);
    if (page.length > 0 && (page.length >= count || size + text.length > bytes)) {
      yield { text: `[${page.join(",")}]`, count: page.length };
      [page, size] = [[], 0];
    }
    page.push(text);
    size += text.length + 1;
  }
  if (page.length > 0) yield { text: `[${page.join(",")}]`, count: page.length };
}

const base64 = (bytes) => btoa(String.fromCharCode(...bytes));

/** A change in the relay protocol. */
function wire([table, pk, cid, val, col_version, db_version, site_id, cl, seq]) {
  return JSON.stringify({ table, pk: base64(pk), cid, val, col_version, db_version, site_id: base64(site_id), cl, seq });
}

/** The same, read as one would in JavaScript. */
export function* read(text) {
  const bytes = typeof Uint8Array.fromBase64 === "function" ? (value) => Uint8Array.fromBase64(value) : (value) => Uint8Array.from(atob(value), (c) => c.charCodeAt(0));
  for (const { table, pk, cid, val, col_version, db_version, site_id, cl, seq } of JSON.parse(text)) {
    yield [table, bytes(pk), cid, val, col_version, db_version, bytes(site_id), cl, seq];
  }
}
