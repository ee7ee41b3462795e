// For every pair of values and every kind of column: two devices set them at once, and in the end both hold the same, bit
// by bit, as does a device that comes later. VALUE_SEED replays a run.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { clocks, device, exact, PlainRelay, until } from "./harness.mjs";
import { storingRelay } from "./storing.mjs";

const SEED = Number(process.env.VALUE_SEED ?? Date.now() % 1_000_000);

/** As SQL, or as a JavaScript value where only that can say it. */
const VALUES = [
  "NULL", "0", "1", "5", "1000", "2147483648", "-2147483649", "1700000000123", "9007199254740992", "9007199254740993",
  "9223372036854775807", "(-9223372036854775807 - 1)",
  "0.0", "-0.0", "5.0", "0.1", "-1.5", "9007199254740992.0", "9223372036854775807.0", "1e300", "4.9e-324", "9e999", "-9e999",
  "'5'", "' 5'", "'5.0'", "'+5'", "'1e3'", "'0x10'", "'.5'", "'5.'", "'-0'", "'1e400'", "'9007199254740993'", "'9223372036854775808'",
  "''", "'a'", "'æøå 𝄞'", "'a' || char(0) || 'b'", "replace(hex(zeroblob(600)), '0', 'x')", "replace(hex(zeroblob(1500)), '0', 'æ')", "CAST(x'61FF62' AS TEXT)",
  "CAST(x'EDA080' AS TEXT)", { bound: "lone \ud800 surrogate" },
  "x''", "x'35'", "x'00FF80'", "zeroblob(600)",
];
const TYPES = ["INTEGER", "REAL", "TEXT", "BLOB", "NUMERIC", "", "BOOLEAN", "DATETIME", "VARCHAR(10)"];
/** A single key of type INTEGER is the rowid, which takes nothing but integers. */
const KEYS = TYPES.map((type) => (type === "INTEGER" ? "INT" : type));

const columns = TYPES.map((_, at) => `c${at}`);
/** Here SQLite keeps what it is given. */
const hasAffinity = (type) => !["BLOB", ""].includes(type);
const SCHEMA = [
  `CREATE TABLE pairs (id INTEGER PRIMARY KEY NOT NULL, ${TYPES.map((type, at) => `c${at} ${type}`).join(", ")})`,
  "CREATE TABLE loose (id INTEGER PRIMARY KEY NOT NULL, c0 ANY, c1 INT, c2 REAL, c3 TEXT, c4 BLOB) STRICT",
  ...KEYS.map((type, at) => `CREATE TABLE key${at} (id ${type} NOT NULL, who, PRIMARY KEY (id))`),
  "CREATE TABLE both (x NUMERIC NOT NULL, y TEXT NOT NULL, who, PRIMARY KEY (y, x))",
];
const TABLES = ["pairs", "loose", ...KEYS.map((_, at) => `key${at}`), "both"];

const relays = [];
after(() => Promise.all(relays.map((relay) => relay.stop())));

const overPlain = () => {
  const relay = new PlainRelay();
  return async () => relay.transport();
};
const overStoring = async () => {
  const relay = await storingRelay();
  relays.push(relay);
  return () => relay.transport("somebody");
};

for (const [over, connect] of [["a plain relay", overPlain], ["a relay that stores", overStoring]]) {
  test(`any two values that meet in a column or a key end alike over ${over} (seed ${SEED})`, async () => {
    const transport = await connect();
    const level = over === "a plain relay" ? "sent" : "stored";
    const joined = async () => device(null, SCHEMA, { transport: await transport() });
    const offline = async () => device(null, SCHEMA, { transport: await transport(), start: false });
    const [a, b] = [await offline(), await offline()];
    const random = randomOf(SEED);
    for (const [{ db }, turn] of [[a, 0], [b, 1]]) await write(db, turn, random);
    await Promise.all([a.client.start(), b.client.start()]);
    await alike(a, b);
    // Again, over rows that are there: on each device every value moves on by as much as chance says.
    for (const { db } of [a, b]) await rotate(db, random);
    for (const { client } of [a, b]) await client.waitForSynced({ level });
    await alike(a, b);
    const c = await joined();
    await alike(a, b, c);
    assert.equal((await exact(c.db, "pairs")).length, (VALUES.length * (VALUES.length + 1)) / 2);
    for (const made of [a, b, c]) {
      assert.deepEqual([made.errors, made.client.status.quarantined, made.client.status.rejected], [[], 0, 0]);
      await made.client.stop();
      await made.db.close();
    }
  });
}

test("what SQLite holds for equal without an affinity stays as each device wrote it, and counts as equal", async () => {
  const connect = overPlain();
  const schema = ["CREATE TABLE t (id PRIMARY KEY NOT NULL, v)"];
  const [a, b] = [0, 1].map(async () => device(null, schema, { transport: await connect(), start: false }));
  const devices = [await a, await b];
  await devices[0].db.exec("INSERT INTO t VALUES (5, 'a'), ('zero', 0.0)");
  await devices[1].db.exec("INSERT INTO t VALUES (5.0, 'b'), ('zero', -0.0)");
  for (const { client } of devices) await client.start();
  for (const { client } of devices) await client.waitForSynced({ level: "sent" });
  const rows = ({ db }) => db.execA("SELECT id = 5, id = 'zero', v = 0, v = 'b' FROM t ORDER BY id = 5");
  await until(async () => (await rows(devices[0]))[1][3] === 1);
  assert.deepEqual(await rows(devices[0]), await rows(devices[1]));
  const shapes = ({ db }) => db.execA("SELECT typeof(id), hex(crsql_pack_columns(v)) FROM t ORDER BY id = 5");
  assert.deepEqual(await shapes(devices[0]), [["text", "01020000000000000000"], ["integer", "010B0162"]]);
  assert.deepEqual(await shapes(devices[1]), [["text", "01028000000000000000"], ["real", "010B0162"]]);
  for (const made of devices) {
    assert.deepEqual([made.errors, made.client.status.quarantined], [[], 0]);
    await made.client.stop();
  }
});

/** Every pair of values has a row; this device writes one of the two into all columns, the other device the other. */
async function write(db, turn, random) {
  await db.exec("CREATE TEMP TABLE given (n INTEGER PRIMARY KEY, x)");
  for (const [n, value] of VALUES.entries()) {
    if (value.bound) await db.exec("INSERT INTO given VALUES (?, ?)", [n, value.bound]);
    else await db.exec(`INSERT INTO given VALUES (${n}, ${value})`);
  }
  const mine = `iif((a.n + b.n) % 2 = ${turn}, a.x, b.x)`;
  const crossed = "FROM temp.given AS a, temp.given AS b WHERE a.n <= b.n";
  // The sign of a zero is no part of this where there is no affinity: see below.
  const unsigned = `CASE WHEN typeof(${mine}) = 'real' AND ${mine} = 0 THEN 0.0 ELSE ${mine} END`;
  const values = TYPES.map((type) => (hasAffinity(type) ? mine : unsigned));
  await db.exec(`INSERT INTO pairs SELECT a.n * 1000 + b.n, ${values.join(", ")} ${crossed}`);
  await db.exec(`INSERT INTO loose (id, c0) SELECT a.n * 1000 + b.n, ${unsigned} ${crossed} AND (a.n + b.n) % 3 = 0`);
  // A STRICT table takes only what fits its columns.
  for (const type of ["integer", "real", "text", "blob"]) {
    const column = { integer: "c1", real: "c2", text: "c3", blob: "c4" }[type];
    await db.exec(`UPDATE loose SET ${column} = c0 WHERE typeof(c0) = '${type}'`);
  }
  // Keys in an order of each device's own: of those that a column holds for equal the first one stays.
  // Without an affinity 5 and 5.0 are one key in two shapes, and every device shows its own: no part of this.
  for (const [at, type] of KEYS.entries()) {
    const fits = hasAffinity(type) ? "TRUE" : "typeof(x) <> 'real' OR x <> CAST(x AS INTEGER)";
    const order = `CASE n ${shuffled(VALUES.keys(), random).map((n, place) => `WHEN ${n} THEN ${place}`).join(" ")} END`;
    await db.exec(`INSERT OR IGNORE INTO key${at} SELECT x, ${turn} FROM temp.given WHERE x IS NOT NULL AND (${fits}) ORDER BY ${order}`);
  }
  await db.exec(`INSERT OR IGNORE INTO both SELECT a.x, b.x, ${turn} ${crossed} AND a.x IS NOT NULL AND (a.n + b.n) % 7 = 0`);
}

async function rotate(db, random) {
  const another = (table) => `(SELECT x FROM temp.given WHERE n = (${table}.id + ${Math.floor(random() * 100)}) % ${VALUES.length})`;
  await db.exec("UPDATE temp.given SET x = 0.0 WHERE typeof(x) = 'real' AND x = 0");
  await db.exec(`UPDATE pairs SET ${columns.map((column) => `${column} = ${another("pairs")}`).join(", ")}`);
  await db.exec(`UPDATE loose SET c0 = ${another("loose")}`);
}

/** Waits until all hold the same clocks, and shows what differs if they never do; then every value is compared. */
async function alike(...devices) {
  const held = async (db) => (await clocks(db)).map((row) => JSON.stringify(row).slice(0, 200));
  const same = async () => {
    const [first, ...others] = await Promise.all(devices.map(({ db }) => held(db)));
    const known = new Set(first);
    return others.every((other) => other.length === first.length && other.every((row) => known.has(row)));
  };
  await until(same, "all devices hold the same changes").catch(async (error) => {
    const [one, other] = await Promise.all(devices.slice(-2).map(({ db }) => held(db)));
    const only = (left, right) => left.filter((row) => !right.includes(row)).slice(0, 5);
    assert.deepEqual(only(one, other), only(other, one), error.message);
    throw error;
  });
  const [first, ...others] = devices;
  for (const table of TABLES) {
    const expected = await exact(first.db, table);
    for (const other of others) assert.deepEqual(await exact(other.db, table), expected, table);
  }
}

/** Mulberry32. */
function randomOf(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function shuffled(list, random) {
  const left = [...list];
  for (let at = left.length - 1; at > 0; at--) {
    const other = Math.floor(random() * (at + 1));
    [left[at], left[other]] = [left[other], left[at]];
  }
  return left;
}
