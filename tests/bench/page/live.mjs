// A device that measures, together with another one in another page, how long a commit of one takes to be committed by the
// other. In turn with it: how long a bare message between the two pages takes; and how long one takes that waits for the disk
// on its way, where each page makes one small transaction of its own besides: what no replication can do without. One page
// leads, the other answers over a bare socket, so that nothing but the two pages and their servers is at work meanwhile.
import { Device, now, openDatabase } from "./device.mjs";

/** A frame about as long as one that carries a row. */
const FILLING = "x".repeat(350);
const BODY = "a note of an ordinary length, as people write them";

const pause = (ms) => new Promise((wake) => setTimeout(wake, ms));
/** Until nothing of the sample before is under way; never in step with anything. */
const calm = () => pause(25 + Math.random() * 15);

let device;
let line;
/** A database of the same kind that no client looks after. */
let bare;

/** `name`: of the database on IndexedDB; in memory without one. `echo`: a server that hands messages on. */
export async function open({ url, name, echo }) {
  device = await Device.open({ url, name });
  await device.start();
  bare = await openDatabase(name && `${name}-bare`);
  await bare.exec("CREATE TABLE IF NOT EXISTS place (id INTEGER PRIMARY KEY, version INTEGER)");
  if (echo) line = await connect(echo);
}

async function connect(url) {
  const socket = new WebSocket(url);
  await new Promise((opened, failed) => Object.assign(socket, { onopen: opened, onerror: failed }));
  const waiting = [];
  const hear = { message: ({ data }) => waiting.shift()?.({ ...JSON.parse(data), heard: now() }) };
  socket.onmessage = (event) => hear.message(event);
  const say = (message) => socket.send(JSON.stringify(message));
  return { hear, say, next: () => new Promise((resolve) => waiting.push(resolve)) };
}

async function write(db, id) {
  await db.exec("INSERT INTO notes VALUES (?, ?)", [id, BODY]);
  return now();
}

async function transaction(sql, bind) {
  const [release, tx] = await bare.imperativeTx();
  await tx.exec("BEGIN IMMEDIATE");
  await tx.exec(sql, bind);
  await tx.exec("COMMIT");
  release();
}

/** From now on says when a bare message came, or when what it announces was in the database. */
export function answer() {
  line.hear.message = async ({ data }) => {
    let at = now();
    const { row, inserted } = JSON.parse(data);
    if (row !== undefined) at = await device.arrival(row);
    if (inserted !== undefined) {
      await transaction("INSERT INTO notes VALUES (?, ?)", [inserted, BODY]);
      at = now();
    }
    line.say({ at, sent: now() });
  };
}

/** Ends that. */
export function silence() {
  line.hear.message = () => {};
}

/** Milliseconds of each sample by this page's clock against the other's, and `ahead`: how much the other's is ahead. */
export async function lead({ samples, from }) {
  const [echo, live, floor] = [[], [], []];
  for (let id = from; id < from + samples; id += 1) {
    const began = now();
    line.say({ filling: FILLING });
    const answered = await line.next();
    echo.push({ took: answered.at - began, back: answered.heard - answered.sent });
    await calm();

    line.say({ row: id });
    await calm();
    const arriving = line.next();
    const committed = await write(device.db, id);
    live.push((await arriving).at - committed);
    await calm();

    const alone = await write(bare, -id);
    await transaction("INSERT OR REPLACE INTO place VALUES (1, ?)", [id]);
    line.say({ inserted: id, filling: FILLING, keep: true });
    floor.push((await line.next()).at - alone);
    await calm();
  }
  const quickest = echo.reduce((best, sample) => (sample.took + sample.back < best.took + best.back ? sample : best));
  const ahead = (quickest.took - quickest.back) / 2;
  return { ahead, echo: echo.map(({ took }) => took - ahead), live: live.map((ms) => ms - ahead), floor: floor.map((ms) => ms - ahead) };
}

/** Writes every `every` milliseconds; resolves with when the commit of each was over. */
export async function writeSteadily({ first, count, every, after }) {
  const committed = [];
  const begin = performance.now() + after;
  for (let n = 0; n < count; n += 1) {
    await pause(begin + n * every - performance.now());
    committed.push([first + n, await write(device.db, first + n)]);
  }
  return committed;
}

/** When each of these rows was committed here. */
export async function arrivals({ ids }) {
  return Promise.all(ids.map(async (id) => [id, await device.arrival(id)]));
}

export const held = () => device.digest();
export const errors = () => device.errors;
