// What the client says of itself, followed through a user's day over every kind of remote: offline writes, a reload, the
// connection back, a catch-up. It never says "live" with nothing pending while something is. And what can be waited for.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { device, open, pair, PlainRelay, settled, SyncClient, until } from "./harness.mjs";
import { again, over, serve, started } from "./served.mjs";
// Last: it and the servers each bring the WebSocket that they need.
const { storingRelay } = await import("./storing.mjs");

const T = ["CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, a, b)"];
const stop = (...devices) => Promise.all(devices.map(({ client }) => client.stop()));
const value = async ({ db }, sql) => (await db.execA(sql))[0]?.[0];

/** A transport that connects to nothing. */
const deaf = () => Object.assign(new PlainRelay().transport(), { connect: async () => {} });
const deafRecords = { name: "deaf", push: () => new Promise(() => {}), pull: () => new Promise(() => {}) };

/**
 * Remotes: a transport for another device, how the connection of all of them goes and comes, and how much of what a
 * device wrote has got there, in the unit of `need`.
 */
const remotes = {
  async "a plain relay"() {
    const relay = new PlainRelay();
    const told = (name) => relay.frames.filter(({ from }) => from === name).map(({ payload }) => Math.max(payload.head ?? 0, payload.currentVersion ?? 0));
    return {
      level: "sent",
      deaf,
      transport: async () => relay.transport(`plain-${Math.random()}`),
      cut: async (...devices) => devices.forEach(({ transport }) => transport.cut()),
      heal: async (...devices) => devices.forEach(({ transport }) => transport.connect()),
      arrived: ({ transport }) => Math.max(0, ...told(transport.name)),
      need: (one) => value(one, "SELECT max(db_version) FROM crsql_changes WHERE site_id = crsql_site_id()"),
    };
  },
  async "a relay that stores"() {
    const relay = await storingRelay();
    after(() => relay.stop());
    const acks = new Map();
    return {
      level: "stored",
      stores: true,
      deaf,
      async transport() {
        const transport = await relay.transport("alice");
        acks.set(transport, 0);
        transport.onMessage((frame) => {
          const { type, payload } = JSON.parse(frame);
          if (type === "sync_ack") acks.set(transport, Math.max(acks.get(transport), payload.receivedVersion));
        });
        return transport;
      },
      cut: (...devices) => Promise.all(devices.map(({ transport }) => transport.disconnect())),
      heal: (...devices) => Promise.all(devices.map(({ transport }) => transport.connect())),
      arrived: ({ transport }) => acks.get(transport),
      need: (one) => value(one, "SELECT max(db_version) FROM crsql_changes WHERE site_id = crsql_site_id()"),
    };
  },
  async "a server of the push-pull contract"() {
    let server = await serve();
    return {
      level: "stored",
      deaf: () => deafRecords,
      transport: async () => over.POST(server),
      options: { pullIntervalMs: 100 },
      cut: () => server.stop(),
      heal: async () => (server = await again(server)),
      arrived: () => server.store.changes.length,
      // Others write there too: theirs are in this database before they are counted here.
      need: (one) => value(one, "SELECT count(*) FROM crsql_changes WHERE site_id = crsql_site_id()"),
      stores: true,
    };
  },
};

/** Looks at the status at every change and between all other work: does it claim what is not so? */
function watch(one, remote) {
  const seen = [];
  let [need, watching] = [0, true];
  const look = (status) => {
    seen.push(status);
    if (status.state === "live" && status.pendingChanges === 0 && remote.arrived(one) < need) seen.lie ??= `${JSON.stringify(status)} with ${remote.arrived(one)} of ${need}`;
  };
  one.client.on("status", look);
  const between = () => {
    look(one.client.status);
    if (watching) setTimeout(between, 0);
  };
  between();
  return {
    seen,
    async write(sql) {
      await one.db.exec(sql);
      assert.ok(one.client.status.pendingChanges > 0, "at once");
      need = await remote.need(one);
    },
    end() {
      watching = false;
      assert.equal(seen.lie, undefined);
    },
  };
}

for (const [kind, make] of Object.entries(remotes)) {
  test(`a day over ${kind}: every number is true, before and after a reload`, async () => {
    const remote = await make();
    const name = `day-${kind.replaceAll(" ", "-")}.db`;
    const join = async (options) => device(null, T, { transport: await remote.transport(), start: false, ...remote.options, ...options });
    const b = await join();
    let a = await join({ name });
    assert.deepEqual([a.client.status.state, a.client.status.pendingChanges, a.client.status.lastSyncedAt], ["stopped", 0, undefined]);
    await Promise.all([a.client.start(), b.client.start()]);
    let day = watch(a, remote);
    await a.client.waitForFirstSync();
    for (let id = 1; id <= 5; id++) await day.write(`INSERT INTO t VALUES (${id}, 'a', 'b')`);
    await a.client.waitForSynced({ level: remote.level });
    await settled(a, b);
    await until(() => a.client.status.pendingChanges === 0 && a.client.status.state === "live", "it is live");
    await a.client.syncNow();
    const { lastSyncedAt: morning, oldestPendingAt } = a.client.status;
    assert.ok(morning <= Date.now() && oldestPendingAt === undefined);
    if (remote.stores) assert.ok(a.client.status.roundTripMs > 0);

    await remote.cut(a, b);
    const offline = Date.now();
    await day.write("UPDATE t SET a = 'c' WHERE id < 4");
    await until(() => a.client.status.state !== "live" && a.client.status.pendingChanges === 3, "three changes wait");
    await day.write("INSERT INTO t VALUES (6, 'a', 'b')");
    await until(() => a.client.status.pendingChanges === 5, "two more");
    const { oldestPendingAt: noon, lastSyncedAt } = a.client.status;
    assert.ok(noon >= offline && noon <= Date.now());
    assert.equal(lastSyncedAt, morning);
    for (let id = 100; id < 400; id++) await b.db.exec(`INSERT INTO t VALUES (${id}, 'b', NULL)`);
    day.end();

    await a.client.stop();
    await a.db.close();
    a = await device(null, [], { db: await open(name), transport: remote.deaf(), start: false, ...remote.options });
    await a.client.start();
    await until(() => a.client.status.pendingChanges === 5, "they still wait");
    assert.equal(a.client.status.oldestPendingAt, noon, "since when");
    assert.equal(a.client.status.lastSyncedAt, morning);
    assert.ok(!["live", "stopped"].includes(a.client.status.state));
    await a.client.stop();

    await remote.heal(b);
    a = await device(null, [], { db: a.db, transport: await remote.transport(), start: false, ...remote.options });
    day = watch(a, remote);
    await a.client.start();
    await settled(a, b);
    await a.client.waitForSynced({ level: remote.level });
    await until(() => a.client.status.pendingChanges === 0 && a.client.status.state === "live", "it is live again");
    await until(() => a.client.status.lastSyncedAt > noon, "and says when");
    const { progress, oldestPendingAt: evening } = a.client.status;
    assert.equal(evening, undefined);
    assert.ok(progress.received >= 300, `${progress.received} received`);
    if (remote.stores) assert.equal(progress.sent, 5);
    assert.equal(progress.remainingVersions, kind === "a relay that stores" ? 0 : undefined);
    assert.ok(day.seen.some(({ state }) => state === "connecting" || state === "catching-up"));
    assert.ok(day.seen.every(({ state }) => state !== "offline"), "nobody was offline meanwhile");
    day.end();
    await stop(a, b);
    await a.db.close();
  });
}

test("progress tells how much of a long catch-up is left", async () => {
  const relay = await storingRelay();
  after(() => relay.stop());
  const b = await device(null, T, { transport: await relay.transport("bob"), batchChanges: 50 });
  for (let id = 0; id < 40; id++) {
    await b.db.exec(`WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 100) INSERT INTO t SELECT ${id} * 100 + i, '${"x".repeat(300)}', NULL FROM n`);
  }
  await b.client.waitForSynced();
  const a = await device(null, T, { transport: await relay.transport("bob"), start: false });
  const seen = [];
  a.client.on("status", ({ state, progress }) => seen.push({ state, ...progress }));
  await a.client.start();
  await a.client.waitForFirstSync();
  assert.equal(await value(a, "SELECT count(*) FROM t"), 4000);
  const left = seen.map(({ remainingVersions }) => remainingVersions).filter((number) => number !== undefined);
  assert.ok(left[0] > 0 && left.at(-1) === 0, String(left));
  assert.ok(left.every((number, at) => at === 0 || number <= left[at - 1]), "it only becomes less");
  assert.ok(seen.filter(({ remainingVersions }) => remainingVersions > 0).every(({ state }) => state !== "live"));
  assert.equal(a.client.status.progress.received, 8000);
  await stop(a, b);
});

// ---------------------------------------------------------------------------------------------------- barriers

/** A device whose transport can be told what to say. */
async function puppet(relay = new PlainRelay()) {
  const a = await device(relay, T);
  let listener;
  const { transport } = a;
  await a.client.stop();
  const { onStateChange } = transport;
  transport.onStateChange = (given) => ((listener = given), onStateChange.call(transport, given));
  await a.client.start();
  await until(() => transport.state === "open", "it is open");
  a.say = (status) => {
    relay.leave(transport);
    listener((transport.status = status));
  };
  return a;
}

test("whoever waits is told that the transport has given up, and syncNow starts it again", async () => {
  const a = await puppet();
  const never = Object.entries({
    waitForSynced: () => a.client.waitForSynced(),
    sent: () => a.client.waitForSynced({ level: "sent" }),
    waitForFirstSync: () => a.client.waitForFirstSync(),
    syncNow: () => a.client.syncNow(),
    resync: () => a.client.resync(),
  });
  a.say({ state: "waiting", retryAt: Date.now() + 60_000 });
  await a.db.exec("INSERT INTO t VALUES (1, 2, 3)");
  const waiting = never.map(([, wait]) => wait());
  a.say({ state: "failed", reason: "gave-up" });
  for (const wait of waiting) await assert.rejects(wait, { code: "gave-up", retryable: true });
  assert.deepEqual([a.client.status.state, a.client.status.reason], ["failed", "gave-up"]);
  for (const wait of [a.client.waitForSynced(), a.client.waitForSynced({ level: "sent" }), a.client.waitForFirstSync()]) {
    await assert.rejects(wait, { code: "gave-up" }, "who comes later as well");
  }
  const b = await device(new PlainRelay(), T);
  void b;
  void a.client.syncNow().catch(() => {});
  await until(() => a.transport.state === "open", "it connects again");
  await a.client.waitForSynced({ level: "sent" });
  await stop(a, b);
});

test("every wait can be given up, and ends with the signal's reason", async () => {
  const a = await device(new PlainRelay(), T);
  a.transport.cut();
  await a.db.exec("INSERT INTO t VALUES (1, 2, 3)");
  const waits = [(signal) => a.client.waitForSynced({ signal }), (signal) => a.client.waitForFirstSync(signal), (signal) => a.client.syncNow(signal)];
  for (const wait of waits) {
    const controller = new AbortController();
    const waiting = wait(controller.signal);
    const reason = new Error("enough");
    controller.abort(reason);
    await assert.rejects(waiting, (error) => error === reason);
  }
  await stop(a);
});

test("a write is pending from the moment it is made until it is counted, and none stays so that has no rows", async () => {
  const { a, b } = await pair(T);
  await a.client.waitForFirstSync();
  await until(() => a.client.status.pendingChanges === 0, "nothing waits");
  await a.db.exec("CREATE TABLE local (x)");
  await a.db.exec("INSERT INTO local VALUES (1)");
  assert.equal(a.client.status.pendingChanges, 1, "nobody knows yet what it was");
  await until(() => a.client.status.pendingChanges === 0, "it was nothing of ours");
  await a.db.exec("BEGIN");
  await a.db.exec("INSERT INTO t VALUES (1, 2, 3)");
  await a.db.exec("ROLLBACK");
  await until(() => a.client.status.pendingChanges === 0, "it was taken back");
  await stop(a, b);
});

test("a tab that follows shows its own write as pending until the leader has counted it", async () => {
  const relay = new PlainRelay();
  const first = await device(relay, T, { name: "tabs-pending.db" });
  const second = await device(relay, [], { db: await open("tabs-pending.db") });
  await first.client.waitForSynced({ level: "sent" });
  first.transport.cut();
  await second.db.exec("INSERT INTO t VALUES (1, 2, 3)");
  assert.ok(second.client.status.pendingChanges > 0, "at once");
  const counted = () => [first, second].every(({ client }) => client.status.pendingChanges === 2);
  await until(counted, "both know").catch((error) => {
    throw new Error(`${error.message}: ${JSON.stringify([first.client.status, second.client.status])}`);
  });
  assert.equal(second.client.status.oldestPendingAt, first.client.status.oldestPendingAt);
  await stop(second, first);
  await second.db.close();
  await first.db.close();
});

// -------------------------------------------------------------------------------------------------- credentials

for (const kind of ["POST", "WS"]) {
  test(`${kind}: where the transport asks for credentials by itself, the client does not ask as well`, async () => {
    const server = await serve({ token: "first" });
    const asked = [];
    const app = { token: "old", onAuthRequired: () => (asked.push("transport"), (app.token = "first"), undefined) };
    const a = await started(over[kind](server, app), { onAuthRequired: () => void asked.push("client") });
    await a.client.waitForFirstSync();
    assert.deepEqual(asked, ["transport"]);
    assert.equal(a.transport.asksForAuth, true);
    await stop(a);
  });
}

// ---------------------------------------------------------------------------------------------------- the account

test("the log of another user gets nothing until the app accepts it, and then everything; a third one has to be accepted anew", async () => {
  const relay = await storingRelay();
  after(() => relay.stop());
  const as = async (user, db) => {
    const made = await device(null, T, { db, transport: await relay.transport(user), start: false });
    await made.client.start();
    return made;
  };
  const alice = await as("alice-account");
  await alice.db.exec("INSERT INTO t VALUES (1, 'of alice', NULL)");
  await alice.client.waitForSynced();
  await alice.client.acceptAccount(); // there is nothing to accept
  await stop(alice);
  const theirs = await as("bob-account");
  await theirs.db.exec("INSERT INTO t VALUES (2, 'of bob', NULL)");
  await theirs.client.waitForSynced();

  const switched = await as("bob-account", alice.db);
  await until(() => switched.client.status.reason === "account-changed", "it is noticed");
  assert.equal(await value(theirs, "SELECT count(*) FROM t"), 1, "nothing was uploaded");
  assert.equal(await value(switched, "SELECT count(*) FROM t"), 1, "and nothing applied");
  await switched.client.acceptAccount();
  await switched.client.waitForSynced();
  await settled(switched, theirs);
  assert.equal(await value(theirs, "SELECT count(*) FROM t"), 2);
  await stop(switched);

  const back = await as("bob-account", alice.db);
  await back.client.waitForSynced(); // accepted once and for all
  await stop(back);
  const third = await as("carol-account", alice.db);
  await until(() => third.client.status.reason === "account-changed", "this one was not meant");
  await stop(third, theirs);
  await assert.rejects(third.client.acceptAccount(), { code: "stopped" });
  assert.ok(new SyncClient({ db: alice.db, transport: third.transport }));
});
