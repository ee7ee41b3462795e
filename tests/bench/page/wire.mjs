// Devices of typical tables: one that writes many changes and then one, and one that gets them. What they hold in the end is
// told, so that bytes are only compared of what has arrived whole.
import { Device, now } from "./device.mjs";

const WORDS = "buy milk and bread for the weekend call the plumber about a leaking tap in the kitchen write back to Ada water all plants".split(" ");
const numbered = (count, each) => Array.from({ length: count }, (_, at) => each(at));

/** Each a table, and its values for a row; none of them depends on chance, so that every run says the same. */
const TABLES = {
  todo: {
    columns: ["id TEXT PRIMARY KEY NOT NULL", "title TEXT", "done INTEGER", "due INTEGER", "list TEXT"],
    row: (random) => [uuid(random), sentence(random, 5), random() & 1, 1_760_000_000_000 + random() * 1_000, `list-${random() % 7}`],
  },
  wide: {
    columns: ["id INTEGER PRIMARY KEY NOT NULL", ...numbered(20, (at) => `field_${at} ${at % 2 ? "TEXT" : "REAL"}`)],
    row: (random, at) => [at, ...numbered(20, (column) => (column % 2 ? sentence(random, 2) : (random() % 1_000_000) / 100))],
  },
  text: {
    columns: ["id TEXT PRIMARY KEY NOT NULL", "body TEXT"],
    row: (random) => [uuid(random), sentence(random, 1_900)],
  },
  blob: {
    columns: ["id TEXT PRIMARY KEY NOT NULL", "content BLOB"],
    row: (random) => [uuid(random), Uint8Array.from({ length: 2_048 }, () => random() & 255)],
  },
};

/** Numbers from 0 on, below 2^31. */
function generator(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x297a2d39) | 0;
    return (Math.imul(state ^ (state >>> 12), 0x297a2d39) ^ (state >>> 15)) >>> 1;
  };
}

const uuid = (random) => numbered(4, () => random().toString(16).padStart(8, "0")).join("-");
const sentence = (random, words) => numbered(words, () => WORDS[random() % WORDS.length]).join(" ");

const schema = (table) => [`CREATE TABLE IF NOT EXISTS items (${TABLES[table].columns.join(", ")})`];

let device;

/** A device that has all that the relay has; resolves with how long that took. */
export async function open({ table, url }) {
  device = await Device.open({ url, schema: schema(table) });
  const began = now();
  await device.start();
  return now() - began;
}

/** Writes so many rows at once, and waits until the relay has them. Resolves with the number of changes. */
export async function write({ table, rows, from }) {
  const random = generator(from + 1);
  const values = numbered(rows, (at) => TABLES[table].row(random, from + at));
  const places = `(${TABLES[table].columns.map(() => "?").join(", ")})`;
  const sent = device.liveAgain();
  await device.db.tx(async (tx) => {
    for (const row of values) await tx.exec(`INSERT INTO items VALUES ${places}`, row);
  });
  await sent;
  await device.live();
  return rows * (TABLES[table].columns.length - 1);
}

/** Waits until it holds so many rows; resolves with how many, and a text that only equal devices have in common. */
export async function held({ rows }) {
  for (;;) {
    const [[count]] = await device.db.execA("SELECT count(*) FROM items");
    if (count >= rows) break;
    await new Promise((wake) => device.client.on("applied", wake));
  }
  if (device.errors.length > 0) throw new Error(device.errors.join(", "));
  const all = await device.db.execA("SELECT * FROM items ORDER BY id");
  const text = JSON.stringify(all, (_, value) => (value instanceof Uint8Array ? Array.from(value) : value));
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return `${all.length} rows ${Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

export const stop = () => device.stop();
