// A user's log after years: few rows that are live, and many writes of several devices over them. Decides what was written,
// so that what a new device has to hold in the end is known. Used by the part about catching up.

import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { WebSocket } from "ws";

const BATCH = 5_000;
/** Pushes on their way. */
const WINDOW = 4;
/** Coprime to the numbers of rows: each round meets every row once, in an order that is not the order of the keys. */
const STRIDE = 7919;

const rowOf = (write, rows) => ((write * STRIDE) % rows) + 1;
const bodyOf = (id, version) => `version ${String(version).padStart(6)} of note ${String(id).padStart(8)}, of an ordinary length`;

/** Lets `devices` write `writes` times, each row as often as the others. Resolves when all is stored. */
export async function writeHistory(relay, user, { rows, writes, devices = 3 }) {
  const socket = await connect(relay, user);
  const sites = Array.from({ length: devices }, () => ({ id: randomBytes(16).toString("base64"), version: 0 }));
  const acked = new Map();
  socket.on("message", (data) => {
    const { type, payload } = JSON.parse(data);
    if (type === "sync_ack" && payload.durable) acked.get(payload.ref)?.resolve();
    if (type === "sync_error") acked.get(payload.ref)?.reject(new Error(`${payload.code}: ${payload.message}`));
  });
  const waiting = [];
  for (let first = 0; first < writes; first += BATCH) {
    if (waiting.length >= WINDOW) await waiting.shift();
    const site = sites[(first / BATCH) % devices];
    const version = (site.version += 1);
    const changes = Array.from({ length: Math.min(BATCH, writes - first) }, (_, seq) => {
      const id = rowOf(first + seq, rows);
      const round = Math.floor((first + seq) / rows) + 1;
      return { table: "notes", pk: packed(id), cid: "body", val: bodyOf(id, round), col_version: round, db_version: version, site_id: site.id, cl: 1, seq };
    });
    const ref = String(first);
    const payload = { changes, baseVersion: version - 1, currentVersion: version, run: "years-ago", ref };
    waiting.push(new Promise((resolve, reject) => acked.set(ref, { resolve, reject })));
    socket.send(JSON.stringify({ type: "sync_push", version: 1, siteId: site.id, timestamp: Date.now(), payload }));
  }
  await Promise.all(waiting);
  socket.close();
}

/** What `Device.digest` says of who holds the end of this history. */
export function digestOf({ rows, writes }) {
  const held = Array.from({ length: rows }, (_, at) => [at + 1, bodyOf(at + 1, Math.floor(writes / rows))]);
  return `${rows} rows ${createHash("sha256").update(JSON.stringify(held)).digest("hex")}`;
}

async function connect(relay, user) {
  const socket = new WebSocket(relay.socket, { headers: { authorization: `Bearer ${await relay.token(user)}` } });
  await once(socket, "open");
  return socket;
}

/** The packed key of one INTEGER column. */
function packed(id) {
  const hex = id.toString(16);
  const number = Buffer.from(hex.length % 2 ? `0${hex}` : hex, "hex");
  return Buffer.concat([Buffer.from([1, (number.length << 3) | 1]), number]).toString("base64");
}
