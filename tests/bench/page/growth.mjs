// What single operations of a client take when something about them is ten or a hundred times as large: the database, a
// message, the tables, the quarantine. In memory, against a relay in the page, so that nothing else is in the numbers. Each
// exported function opens a device for one size and resolves with milliseconds by operation.
import { Device, now } from "./device.mjs";
import { Peer, packed } from "./peer.mjs";

/** Rows of one transaction of the app. */
const PER_VERSION = 500;
const STRANGER = btoa("another device!!");
/** Above all that the device has written: what comes with it wins. */
let version = 1_000_000;

const pause = (ms) => new Promise((wake) => setTimeout(wake, ms));
/** Until the client may read again at once: it puts local writes of a few milliseconds together. */
const calm = () => pause(15);

/** The least of some tries: what else the machine does only adds to it. The first one counts not: statements are prepared in it. */
async function least(times, once) {
  const samples = [];
  for (let n = 0; n <= times; n += 1) {
    await calm();
    samples.push(await once(n));
  }
  return Math.min(...samples.slice(1));
}

const schemaOf = (tables) => Array.from({ length: tables }, (_, n) => `CREATE TABLE notes${n || ""} (id INTEGER PRIMARY KEY NOT NULL, body TEXT)`);

/** A device with so many rows, all of them on the relay. */
async function settled({ rows = 1_000, tables = 1 } = {}) {
  const device = await Device.open({ schema: schemaOf(tables), transport: new Peer() });
  for (let first = 1; first <= rows; first += PER_VERSION) {
    const last = Math.min(rows, first + PER_VERSION - 1);
    const ids = `WITH RECURSIVE n (id) AS (SELECT ${first} UNION ALL SELECT id + 1 FROM n WHERE id < ${last})`;
    await device.db.exec(`${ids} INSERT INTO notes SELECT id, 'a note of an ordinary length, number ' || id FROM n`);
  }
  await device.start();
  return device;
}

/** The next frame of this type that the client sends: when, and what. */
function next({ transport }, type, wanted = () => true) {
  return new Promise((resolve) => {
    transport.onFrame = (text) => {
      const at = now();
      const message = JSON.parse(text);
      if (message.type !== type || !wanted(message)) return;
      transport.onFrame = () => {};
      resolve({ at, message });
    };
  });
}

const change = (id, seq, cid = "body") => ({
  table: "notes", pk: packed(id), cid, val: `another note, number ${id} in version ${version}`, col_version: version, db_version: version, site_id: STRANGER, cl: 1, seq,
});

/** From the commit of one row to its frame. */
async function write(device, n) {
  const frame = next(device, "sync_push", ({ payload }) => payload.changes.length > 0);
  const committed = await device.write(-1 - n, "a note of an ordinary length");
  const { at } = await frame;
  await device.live();
  return at - committed;
}

/** From a frame with so many rows to the event that says that they are in the database. */
async function apply(device, ids) {
  version += 1;
  device.arrived.clear();
  const changes = ids.map((id, seq) => change(id, seq));
  const began = now();
  device.transport.forward(STRANGER, changes);
  const at = await device.arrival(ids.at(-1));
  if (device.arrived.size !== ids.length) throw new Error(`${device.arrived.size} of ${ids.length} rows were applied`);
  return at - began;
}

async function reconnect(device) {
  const back = device.liveAgain();
  const began = now();
  device.transport.reconnect();
  return (await back) - began;
}

/** Stops, and starts anew on the same database. */
async function start(device) {
  await device.client.stop();
  const began = now();
  await device.start();
  return now() - began;
}

/** From the request of another device to the answer that begins after this part of our versions, for each 1,000 rows in it. */
async function answer(device, part) {
  const asked = next(device, "sync_request");
  device.transport.reconnect();
  const { message } = await asked;
  await device.live();
  const { siteId, payload: { run, head } } = message;
  const base = Math.floor(head * part);
  const answered = next(device, "sync_response");
  const began = now();
  device.transport.say(STRANGER, "sync_request", { sinceVersion: 0, to: siteId, ref: crypto.randomUUID(), run: "x", cursors: { [siteId]: [run, base] } });
  const { at, message: { payload } } = await answered;
  if (payload.baseVersion !== base || payload.changes.length === 0) throw new Error(`an answer after ${payload.baseVersion} with ${payload.changes.length} rows`);
  return (1000 * (at - began)) / payload.changes.length;
}

/** So many of a database's rows, in no order. */
const someOf = (rows, count) => Array.from({ length: count }, (_, n) => 1 + ((n * 7919) % rows));

export async function byRows({ size, times }) {
  const device = await settled({ rows: size });
  const measured = {
    "write → frame": await least(times, (n) => write(device, n)),
    "frame of 1 → applied": await least(times, (n) => apply(device, someOf(size, n + 1).slice(-1))),
    "frame of 1,000 → applied": await least(3, () => apply(device, someOf(size, 1000))),
    reconnect: await least(times, () => reconnect(device)),
    start: await least(times, () => start(device)),
    "answer from the beginning, of 1,000": await least(3, () => answer(device, 0)),
    "answer from the middle, of 1,000": await least(3, () => answer(device, 0.5)),
  };
  await device.stop();
  return measured;
}

export async function byMessage({ size, times }) {
  const device = await settled({ rows: 10_000 });
  const measured = { "frame → applied, of 1,000": (1000 * (await least(times, () => apply(device, someOf(10_000, size))))) / size };
  await device.stop();
  return measured;
}

export async function byTables({ size, times }) {
  const device = await settled({ tables: size });
  const measured = {
    "write → frame": await least(times, (n) => write(device, n)),
    "frame of 1 → applied": await least(times, (n) => apply(device, [n + 1])),
    reconnect: await least(times, () => reconnect(device)),
    start: await least(times, () => start(device)),
  };
  await device.stop();
  return measured;
}

export async function byQuarantine({ size, times }) {
  const device = await settled();
  const unknown = (first, count) => Array.from({ length: count }, (_, n) => change(first + n, n, "of a later schema"));
  const kept = async (count) => {
    while (device.client.status.quarantined < count) await new Promise((resolve) => device.client.on("status", resolve));
    return now();
  };
  for (let first = 1; first <= size; first += 1000) device.transport.forward(STRANGER, unknown(first, Math.min(1000, size - first + 1)));
  await kept(size);
  const measured = {
    "keep one more": await least(times, async (n) => {
      const began = now();
      device.transport.forward(STRANGER, unknown(1_000_000 + n, 1));
      return (await kept(size + n + 1)) - began;
    }),
    "write → frame": await least(times, (n) => write(device, n)),
    "frame of 1 → applied": await least(times, (n) => apply(device, [n + 1])),
    reconnect: await least(times, () => reconnect(device)),
  };
  await device.stop();
  return measured;
}
