// The AsyncAPI and OpenAPI documents of the relay against the shared vectors and against what the relay says: they know
// every field, take what the wire takes, and refuse what it refuses.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { test } from "node:test";
import { CLIENT_FRAMES, MESSAGES, SERVER_FRAMES, checker, documents, schemas, walk } from "./schemas.mjs";
import { storingRelay } from "./storing.mjs";

const at = (...path) => readFileSync(resolve(import.meta.dirname, "../..", ...path), "utf8");
const vectors = (name) => JSON.parse(at("tests/vectors", name));

/** The JSON of a text, if it is any. */
function json(text) {
  try {
    return { value: JSON.parse(text) };
  } catch {
    return undefined;
  }
}

test("every reference of the documents leads somewhere", () => {
  for (const [name, document] of Object.entries(documents)) {
    let count = 0;
    walk(document, ({ $ref }) => {
      if (typeof $ref !== "string") return;
      const [file, pointer] = $ref.split("#");
      const steps = pointer.slice(1).split("/").map((step) => step.replaceAll("~1", "/"));
      const found = steps.reduce((value, step) => value?.[step], file ? documents[file.slice(2)] : document);
      assert.ok(found, `${name}: ${$ref}`);
      count += 1;
    });
    assert.ok(count > 10);
  }
});

test("messages of the relay protocol are what the vectors say", () => {
  const [open, closed] = [checker(MESSAGES), checker(MESSAGES, { closed: true })];
  let [good, bad] = [0, 0];
  for (const { name, text, is, encoded, badRows } of vectors("relay.json").frames) {
    if (is === "message" && badRows === undefined) {
      assert.equal(open(JSON.parse(text)), "", name);
      assert.equal(closed(JSON.parse(encoded)), "", name);
      good += 1;
    } else if (is !== "message" && json(text)) {
      // What is no JSON at all needs no schema to be told.
      assert.notEqual(open(json(text).value), "", name);
      bad += 1;
    }
  }
  assert.ok(good > 20 && bad > 30, `${good} ${bad}`);
});

test("rows are what the vectors say", () => {
  const [open, closed] = [checker(["Row"]), checker(["Row"], { closed: true })];
  for (const { name, text, code, encoded } of vectors("relay.json").rows) {
    if (code === undefined) {
      assert.equal(open(JSON.parse(text)), "", name);
      assert.equal(closed(JSON.parse(encoded)), "", name);
    } else if (["malformed-row", "malformed-site-id", "version-out-of-range"].includes(code)) {
      // Of what lies inside a key, and of two fields together, a schema knows nothing.
      assert.notEqual(open(JSON.parse(text)), "", name);
    }
  }
});

test("every field that the documents name stands in a vector", () => {
  const seen = new Set();
  for (const { is, encoded } of vectors("relay.json").frames) {
    if (is !== "message") continue;
    const { type, payload } = JSON.parse(encoded);
    for (const field of Object.keys(payload)) seen.add(`${type}.${field}`);
  }
  const all = schemas();
  for (const name of MESSAGES) {
    const { type, payload } = all[name].properties;
    for (const field of Object.keys(payload.properties)) assert.ok(seen.has(`${type.const}.${field}`), `${type.const}.${field}`);
  }
});

test("frames and results of the push-pull contract are what the vectors say", () => {
  const [client, server] = [checker(CLIENT_FRAMES), checker(SERVER_FRAMES)];
  // What our client forgives other servers, ours does not say.
  const forgiven = ["space and unknown fields", "an error without anything"];
  const { frames, ...lists } = vectors("push-pull.json");
  for (const { name, text, from, is } of frames) {
    const parsed = json(text);
    if (!parsed || forgiven.includes(name)) continue;
    const problem = (from === "client" ? client : server)(parsed.value);
    assert.equal(problem === "", !["malformed-message", "unknown"].includes(is), `${name}: ${problem}`);
  }
  for (const [list, schema] of [["pushResults", "PushResult"], ["pullResults", "PullResult"]]) {
    const check = checker([schema]);
    for (const { name, value, error, strictPath } of lists[list]) {
      assert.equal(check(value) === "", error === undefined && strictPath === undefined, `${list}: ${name}`);
    }
  }
});

test("the relay says nothing that the documents do not know", async (t) => {
  const relay = await storingRelay({ args: ["--head-interval", "200ms"] });
  t.after(() => relay.stop());
  const closed = checker(MESSAGES, { closed: true });
  const said = [];
  const site = (name) => Buffer.alloc(16, name).toString("base64");
  const connect = async (name) => {
    const socket = await relay.socket("alice");
    const waiting = new Map();
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      said.push(message);
      waiting.get(message.type)?.(message);
    };
    return {
      next: (type) => new Promise((found) => waiting.set(type, found)),
      send: (type, payload) => socket.send(JSON.stringify({ type, version: 1, siteId: site(name), timestamp: 1, payload })),
      malformed: () => socket.send("{"),
      close: () => socket.close(),
    };
  };
  const [a, b] = [await connect(1), await connect(2)];
  const row = { table: "t", pk: "AQsBYQ==", cid: "a", val: 1, col_version: 1, db_version: 1, site_id: site(1), cl: 1, seq: 0 };
  const [acknowledged, forwarded] = [a.next("sync_ack"), b.next("sync_push")];
  a.send("sync_push", { changes: [row, { table: "t" }], baseVersion: 0, currentVersion: 1, run: "a", ref: "r", head: 1 });
  const { relay: place } = (await acknowledged).payload;
  await forwarded;
  const answered = a.next("sync_response");
  const cursor = [place.run, place.version];
  a.send("sync_request", { sinceVersion: 0, ref: "q", stored: cursor, cursors: { [place.siteId]: cursor }, digest: { t: [0, "0".repeat(16), "0".repeat(16)] } });
  assert.deepEqual((await answered).payload.differ, ["t"]);
  const complained = a.next("sync_error");
  a.malformed();
  await complained;
  // A peer that knows only the seed is asked in return; and the head is repeated.
  const [asked, head] = [b.next("sync_request"), a.next("sync_push")];
  b.send("sync_request", { sinceVersion: 0 });
  await Promise.all([asked, head]);
  for (const message of said) assert.equal(closed(message), "", JSON.stringify(message));
  assert.equal(new Set(said.map(({ type }) => type)).size, MESSAGES.length);
  a.close();
  b.close();
});
