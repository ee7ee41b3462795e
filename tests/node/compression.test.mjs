// Compressed messages between the relay and a client that is not ours: `ws`, which offers permessage-deflate as browsers do.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { WebSocket } from "ws";
import { storingRelay } from "./storing.mjs";

const SITE = "YWJjZGVmZ2hpamtsbW5vcA==";
const ROWS = 3_000;

let relay;
before(async () => {
  relay = await storingRelay();
});
after(() => relay?.stop());

const message = (type, payload) => JSON.stringify({ type, version: 1, siteId: SITE, timestamp: 1, payload });
const row = (at) => ({ table: "todo", pk: "AQsBaw==", cid: `column ${at}`, val: `what is to be done ${at}`, col_version: 1, db_version: 1, site_id: SITE, cl: 1, seq: at });
const rows = Array.from({ length: ROWS }, (_, at) => row(at));

/** A device of alice; `offers`: what of permessage-deflate. */
async function open(offers) {
  const socket = new WebSocket(`${relay.origin.replace("http", "ws")}/api/v1/sync`, { headers: await relay.headers("alice"), perMessageDeflate: offers });
  const heard = [];
  const waiting = [];
  socket.on("message", (text) => (waiting.shift() ?? ((text) => heard.push(text)))(String(text)));
  await new Promise((opened, failed) => socket.once("open", opened).once("error", failed));
  const next = () => (heard.length > 0 ? heard.shift() : new Promise((resolve) => waiting.push(resolve)));
  const of = async (type) => {
    for (;;) {
      const said = JSON.parse(await next());
      if (said.type === type) return said.payload;
    }
  };
  const traffic = () => ({ sent: socket._socket.bytesWritten, heard: socket._socket.bytesRead });
  const ask = async () => {
    socket.send(message("sync_request", { sinceVersion: 0, cursors: {} }));
    return of("sync_response");
  };
  return { socket, of, ask, traffic };
}

test("what is pushed, forwarded and answered is the same compressed and plain, and a fraction of it travels", async () => {
  const devices = { deflating: await open(true), plain: await open(false), writer: await open({ threshold: 0 }) };
  for (const { ask } of Object.values(devices)) await ask();
  const { deflating, plain, writer } = devices;
  assert.match(deflating.socket.extensions, /permessage-deflate/);
  assert.equal(plain.socket.extensions, "");

  const text = message("sync_push", { changes: rows, baseVersion: 0, currentVersion: 1, run: "r", ref: "p" });
  writer.socket.send(text);
  assert.equal((await writer.of("sync_ack")).appliedCount, ROWS);
  const forwards = [await deflating.of("sync_push"), await plain.of("sync_push")];
  assert.deepEqual(forwards[0], forwards[1]);
  assert.equal(forwards[0].changes.length, ROWS);

  const answers = [await deflating.ask(), await plain.ask()];
  assert.deepEqual(answers[0].changes, answers[1].changes);
  assert.ok(answers[0].changes.length > 1_000);
  // One row more, which is not worth it.
  writer.socket.send(message("sync_push", { changes: [row(ROWS)], baseVersion: 1, currentVersion: 2, run: "r", ref: "q" }));
  assert.deepEqual(await deflating.of("sync_push"), await plain.of("sync_push"));

  assert.ok(writer.traffic().sent * 5 < text.length, `${writer.traffic().sent} bytes of ${text.length}`);
  const [less, all] = [deflating.traffic().heard, plain.traffic().heard];
  assert.ok(all > text.length && less * 5 < all, `${less} of ${all} bytes`);
  for (const { socket } of Object.values(devices)) socket.close();
});

test("endpoints answer in gzip, which fetch undoes", async () => {
  const headers = { ...(await relay.headers("alice")), "content-type": "application/json" };
  const pull = (more) => fetch(`${relay.origin}/sync/pull`, { method: "POST", headers: { ...headers, ...more }, body: '{"batchSize":1000}' });
  const [packed, plain] = [await pull({ "accept-encoding": "gzip" }), await pull({ "accept-encoding": "identity" })];
  assert.equal(packed.headers.get("content-encoding"), "gzip");
  assert.equal(plain.headers.get("content-encoding"), null);
  const [a, b] = [await packed.json(), await plain.json()];
  assert.deepEqual(a.changes.map(({ id }) => id), b.changes.map(({ id }) => id));
  assert.ok(a.changes.length > 500);
});
