// What a client may remember that has been away for long, has another user's database, or was never any good: places of other
// runs, of the future, of other logs, and none at all. The answers are PROTOCOL.md's, sections 4, 5.1, 8 and 12; nobody is shown
// less than there is.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { storingRelay } from "./storing.mjs";
import { push, row, STRANGER } from "./stranger.mjs";

const keys = { alice: 5, bob: 9 };
let relay;
before(async () => {
  relay = await storingRelay();
  for (const [user, count] of Object.entries(keys)) {
    const peer = await speak(user);
    const changes = Array.from({ length: count }, (_, n) => row({ pk: `0109${(n + 1).toString(16).padStart(2, "0")}`, val: `${user} ${n + 1}` }));
    await peer.ask({ ...push(changes), payload: { changes, baseVersion: 0, ref: "rows" } });
    peer.close();
  }
});
after(() => relay.stop());

/** A socket that waits for one message after another. */
async function speak(user) {
  const socket = await relay.socket(user);
  const [come, waiting] = [[], []];
  socket.onmessage = ({ data }) => (waiting.length > 0 ? waiting.shift()(JSON.parse(data)) : come.push(JSON.parse(data)));
  socket.onclose = ({ code }) => waiting.shift()?.({ type: "closed", code });
  const hear = () => (come.length > 0 ? come.shift() : new Promise((heard) => waiting.push(heard)));
  return {
    hear,
    ask: (message) => (socket.send(JSON.stringify(message)), hear()),
    request: (payload) => (socket.send(JSON.stringify({ type: "sync_request", version: 1, siteId: STRANGER, timestamp: 0, payload })), hear()),
    close: () => socket.close(),
  };
}

const values = ({ payload }) => payload.changes.map(({ val }) => val);
const everything = (user) => Array.from({ length: keys[user] }, (_, n) => `${user} ${n + 1}`);

test("a request that claims more than it has been given is answered from where its words still count", async () => {
  const [alice, bob] = [await speak("alice"), await speak("bob")];
  const first = await alice.request({ sinceVersion: 0, cursors: {} });
  const { siteId: log, payload: { run, head } } = first;
  const other = await bob.request({ sinceVersion: 0, cursors: {} });
  assert.deepEqual([values(first), head, values(other)], [everything("alice"), 5, everything("bob")]);
  assert.notEqual(other.siteId, log);

  const from = async (cursor, at = log) => {
    const { payload } = await alice.request({ sinceVersion: 0, cursors: { [at]: cursor } });
    assert.deepEqual([payload.run, payload.head, payload.currentVersion, payload.changes.length], [run, head, head, head - payload.baseVersion]);
    return payload.baseVersion;
  };
  assert.equal(await from([run, 3]), 3);
  assert.equal(await from([run, head]), head);
  assert.equal(await from([run, head + 1_000]), head, "the future is not there yet");
  assert.equal(await from([run, 2 ** 53 - 1]), head);
  assert.equal(await from(["another", 3]), 0, "versions of a run that is not known");
  assert.equal(await from([run, 3, head]), 3, "a page of a snapshot that still stands");
  assert.equal(await from([run, 3, head + 1]), 0, "a page of a snapshot that the log does not reach");
  assert.equal(await from([run, 3], other.siteId), 0, "a place in somebody else's log");
  assert.equal(await from([run, 3], STRANGER), 0, "a place in the asker's own database");

  for (const [stored, stands] of [[[run, 4], 4], [[run, 99], head], [["another", 4], 0]]) {
    const { payload } = await alice.request({ sinceVersion: 0, cursors: { [log]: [run, head] }, stored });
    assert.deepEqual([payload.stored, payload.changes], [stands, []], JSON.stringify(stored));
  }
  for (const peer of [alice, bob]) peer.close();
});

test("a future that was claimed hides nothing of what comes later", async () => {
  const [eve, writer] = [await speak("carol"), await speak("carol")];
  const { siteId: log, payload: { run } } = await eve.request({ sinceVersion: 0, cursors: {} });
  const { payload } = await eve.request({ sinceVersion: 0, cursors: { [log]: [run, 1_000] } });
  assert.deepEqual([payload.baseVersion, payload.currentVersion, payload.head], [0, 0, 0]);
  await writer.ask({ ...push([row({ val: "late" })]) });
  assert.deepEqual(values(await eve.hear()), ["late"], "forwarded");
  assert.deepEqual(values(await eve.request({ sinceVersion: 0, cursors: { [log]: [run, 0] } })), ["late"]);
  for (const peer of [eve, writer]) peer.close();
});

test("a peer that knows only the seed gets everything when its number is of another log, and what cannot be read is said", async () => {
  const alice = await speak("alice");
  const seed = async (sinceVersion) => {
    const answers = [await alice.request({ sinceVersion })];
    if (answers[0].type === "sync_request") answers.push(await alice.hear());
    return answers.find(({ type }) => type === "sync_response");
  };
  assert.deepEqual(values(await seed(3)), ["alice 4", "alice 5"]);
  // It was asked for its own, once.
  assert.equal((await alice.hear()).type, "sync_request");
  assert.deepEqual(values(await seed(5)), []);
  assert.deepEqual(values(await seed(6)), everything("alice"), "a number that this log never gave");
  for (const bad of [-1, 1.5, "3", null, undefined, 2 ** 60]) {
    const { type, payload } = await alice.request({ sinceVersion: bad, ref: "bad" });
    assert.deepEqual([type, payload.code, payload.ref], ["sync_error", "malformed-message", "bad"], String(bad));
  }
  const run = "some";
  for (const bad of [[run], [run, -1], [run, "1"], [run, 1, -1], [7, 1], ["x".repeat(65), 1], [run, 2 ** 60], "here", [run, 1.5]]) {
    const { type, payload } = await alice.request({ sinceVersion: 0, cursors: { [STRANGER]: bad } });
    assert.deepEqual([type, payload.code], ["sync_error", "malformed-message"], JSON.stringify(bad));
  }
  assert.deepEqual(values(await seed(4)), ["alice 5"], "and it goes on");
  alice.close();
});

test("a pull with a cursor that is not of this log begins again and says so", async () => {
  const ask = async (user, cursor, more = {}) => {
    const headers = { ...(await relay.headers(user)), "content-type": "application/json" };
    const answer = await fetch(`${relay.origin}/sync/pull`, { method: "POST", headers, body: JSON.stringify({ cursor, ...more }) });
    return { status: answer.status, ...(await answer.json()) };
  };
  const told = ({ changes }) => changes.map(({ data }) => data.val);
  const alice = await ask("alice", null);
  const bob = await ask("bob", null);
  assert.deepEqual([told(alice), told(bob)], [everything("alice"), everything("bob")]);
  assert.deepEqual([told(await ask("alice", alice.cursor)), alice.reset], [[], undefined]);

  const middle = (await ask("alice", null, { batchSize: 2 })).cursor;
  assert.deepEqual(told(await ask("alice", middle)), everything("alice").slice(2));
  const [spelling, , run, ...rest] = alice.cursor.split(".");
  const place = (at, of = run) => [spelling, at, of, ...rest].join(".");
  const strange = {
    "of another user": bob.cursor,
    "of the future": place(99),
    "of another run": place(3, "0123456789abcdef"),
    "below zero": place(-5),
    "of a snapshot that is not reached": place("2-99"),
    "of another server": "eyJhIjoxfQ==",
    "a number": "7",
  };
  assert.equal(place(5), alice.cursor);
  for (const [what, cursor] of Object.entries(strange)) {
    const page = await ask("alice", cursor);
    assert.deepEqual([page.status, told(page), page.reset, page.cursor], [200, everything("alice"), true, alice.cursor], what);
  }
  // Also where it would fit in: all logs are written in the runs of one server.
  for (const cursor of [alice.cursor, middle]) {
    const page = await ask("bob", cursor);
    assert.deepEqual([told(page), page.reset], [everything("bob"), true], cursor);
  }
  for (const bad of [7, {}, ["a"]]) assert.equal((await ask("alice", bad)).status, 400, JSON.stringify(bad));
});
