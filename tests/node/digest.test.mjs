// Live with nothing pending means equal: the real databases prove it when they come to rest, and what was changed behind
// cr-sqlite's back is found, told and healed, over a relay that stores and over one that only forwards.
import { idle } from "./clock.mjs";
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { clocks, device, exact, PlainRelay, until } from "./harness.mjs";
import { storingRelay } from "./storing.mjs";

const SCHEMA = [
  "CREATE TABLE notes (id INTEGER PRIMARY KEY NOT NULL, body TEXT, size REAL)",
  "CREATE TABLE tags (note INTEGER NOT NULL, tag TEXT NOT NULL, PRIMARY KEY (note, tag))",
];

const relays = [];
after(() => Promise.all(relays.map((relay) => relay.stop())));

/** A socket and nothing else: one that minds the clock would take a clock that is pushed ahead for a dead connection. */
class Line {
  protocol = "relay";
  state = "idle";
  #socket;
  #message = new Set();
  #state = new Set();

  constructor(url) {
    this.url = url;
  }

  get status() {
    return { state: this.state };
  }

  connect() {
    const socket = new WebSocket(this.url);
    this.#socket = socket;
    const become = (state) => () => {
      if (this.#socket !== socket) return;
      this.state = state;
      for (const listener of [...this.#state]) listener(this.status);
    };
    become("connecting")();
    socket.onopen = become("open");
    socket.onclose = become("closed");
    socket.onmessage = ({ data }) => [...this.#message].forEach((listener) => listener(data));
  }

  disconnect() {
    this.#socket?.close();
  }

  reconnect() {
    this.disconnect();
    this.connect();
  }

  send(frame) {
    this.#socket.send(frame);
  }

  onMessage(listener) {
    this.#message.add(listener);
    return () => this.#message.delete(listener);
  }

  onStateChange(listener) {
    this.#state.add(listener);
    return () => this.#state.delete(listener);
  }
}

/** Two devices of one user: a name for the kind of relay → how to make them. */
const OVER = {
  async "a relay that stores"() {
    const relay = await storingRelay();
    relays.push(relay);
    const one = async () => device(null, SCHEMA, { transport: new Line((await relay.transport("me")).url) });
    return [await one(), await one()];
  },
  async "a relay that only forwards"() {
    const relay = new PlainRelay();
    return [await device(relay, SCHEMA), await device(relay, SCHEMA)];
  },
};

async function write({ db }, from, to) {
  for (let n = from; n < to; n += 1) {
    await db.exec("INSERT INTO notes VALUES (?, ?, ?)", [n, `note ${n}`, n / 2]);
    await db.exec("INSERT INTO tags VALUES (?, 'new')", [n]);
  }
}

/** Both hold the same values. (Of two equal replicas one may have a sentinel that the other lacks.) */
const alike = async (a, b) => {
  const held = await Promise.all([a, b].map(async ({ db }) => [await exact(db, "notes"), await exact(db, "tags")]));
  return JSON.stringify(held[0]) === JSON.stringify(held[1]);
};

const told = ({ errors }) => errors.filter(({ code }) => code === "replicas-differed");

/** Everybody has proved, since that moment, that all are equal. */
async function proven(since, ...devices) {
  const fresh = ({ client }) => client.status.verifiedAt >= since && client.status.state === "live";
  await idle(() => devices.every(fresh), "all prove that they are equal").catch((error) => {
    throw new Error(`${error.message}: ${JSON.stringify(devices.map(({ client, errors }) => [client.status, errors.map(String)]))}`);
  });
}

/** Two devices that hold the same rows and have proved it. */
async function equal(kind) {
  const [a, b] = await OVER[kind]();
  const since = Date.now();
  await write(a, 0, 20);
  await write(b, 20, 40);
  await a.db.exec("DELETE FROM notes WHERE id = 3");
  await a.db.exec("UPDATE notes SET id = 1000 WHERE id = 4");
  await until(() => alike(a, b), "both hold the same");
  await proven(since, a, b);
  assert.deepEqual([...told(a), ...told(b)], [], "equal replicas tell nothing");
  return [a, b];
}

/** What has happened without a trace is seen when something else happens, and healed. */
async function healed(a, b) {
  const since = Date.now();
  await write(a, 100, 101);
  await until(async () => (await b.db.execA("SELECT 1 FROM notes WHERE id = 100")).length === 1, "the row arrives");
  await idle(() => told(a).length + told(b).length > 0, "somebody tells");
  await idle(() => alike(a, b), "both hold the same again");
  await proven(since, a, b);
  for (const error of [...told(a), ...told(b)]) {
    assert.match(error.message, /notes/);
    assert.doesNotMatch(error.message, /tags/);
    assert.equal(error.retryable, true);
  }
  const before = [told(a).length, told(b).length];
  assert.ok(Math.max(...before) === 1, "each tells it once at most");
}

for (const kind of Object.keys(OVER)) {
  test(`a value that was changed behind cr-sqlite's back is found, told and healed over ${kind}`, async () => {
    const [a, b] = await equal(kind);
    await b.db.exec("SELECT crsql_internal_sync_bit(1)");
    await b.db.exec("UPDATE notes SET body = 'a damaged note' WHERE id = 7");
    await b.db.exec("SELECT crsql_internal_sync_bit(0)");
    assert.notDeepEqual(await exact(a.db, "notes"), await exact(b.db, "notes"));
    await healed(a, b);
    assert.ok([...a.errors, ...b.errors].some(({ code }) => code === "replicas-differed"));
    assert.deepEqual(await b.db.execA("SELECT body FROM notes WHERE id = 7"), [["note 7"]], "the larger value wins a tie");
  });

  test(`clocks that were lost are found, told and healed over ${kind}`, async () => {
    const [a, b] = await equal(kind);
    const whole = await clocks(a.db);
    await b.db.exec(
      "DELETE FROM notes__crsql_clock WHERE key IN (SELECT __crsql_key FROM notes__crsql_pks WHERE id BETWEEN 5 AND 9)",
    );
    assert.ok((await clocks(b.db)).length < whole.length);
    await healed(a, b);
    assert.ok((await clocks(b.db)).length > whole.length, "they are all there, and the new row's");
  });
}
