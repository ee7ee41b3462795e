// Fills a user's log on the relay as fast as it takes rows: what a device that has been at work for years has sent.

import { randomBytes } from "node:crypto";
import { WebSocket } from "ws";

/** Pushes `count` notes (ids from 1) with bodies of about `bytes` bytes, `batch` to a message. Resolves when all are stored. */
export async function fillLog(relayUrl, user, count, { batch = 5_000, bytes = 40 } = {}) {
  const login = await fetch(new URL("/dev/login", relayUrl), {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ user }),
  });
  const cookie = login.headers.get("set-cookie").split(";")[0];
  const socket = new WebSocket(new URL("/api/v1/sync", relayUrl.replace("http", "ws")), { headers: { cookie } });
  await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
  const site = randomBytes(16).toString("base64");
  let acknowledged = () => {};
  socket.on("message", (data) => {
    const { type, payload } = JSON.parse(data);
    if (type === "sync_ack" && payload.durable) acknowledged(payload.ref);
  });
  let version = 0;
  for (let first = 1; first <= count; first += batch) {
    const ref = String((version += 1));
    const rows = Array.from({ length: Math.min(batch, count - first + 1) }, (_, seq) => note(first + seq, bytes, site, version, seq));
    const payload = { changes: rows, baseVersion: version - 1, currentVersion: version, run: "years-ago", ref };
    const stored = new Promise((resolve) => (acknowledged = (answered) => answered === ref && resolve()));
    socket.send(JSON.stringify({ type: "sync_push", version: 1, siteId: site, timestamp: Date.now(), payload }));
    await stored;
  }
  socket.close();
}

export const bodyOf = (id, bytes) => `note ${id} `.padEnd(bytes, "lorem ipsum dolor ");

function note(id, bytes, site, version, seq) {
  return { table: "notes", pk: packed(id), cid: "body", val: bodyOf(id, bytes), col_version: 1, db_version: version, site_id: site, cl: 1, seq };
}

/** The packed key of one INTEGER column. */
function packed(id) {
  const hex = id.toString(16);
  const number = Buffer.from(hex.length % 2 ? `0${hex}` : hex, "hex");
  return Buffer.concat([Buffer.from([1, (number.length << 3) | 1]), number]).toString("base64");
}
