// The seed's protocol spoken by hand, beside our own client, over the real relay: rows go both ways, whatever was done to them
// and whoever was away meanwhile.
import assert from "node:assert/strict";
import { test } from "node:test";
import { device, exact, until } from "./harness.mjs";
import { SeedPeer } from "./seed-peer.mjs";
import { storingRelay } from "./storing.mjs";

/** Which relays there are, as arguments. */
const RELAYS = [["stores"], ["stores nothing", "--no-store", "--jwt-secret", "a secret of this test, long enough"]];

const T = ["CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, a TEXT, b INTEGER)", "CREATE TABLE tags (name TEXT PRIMARY KEY NOT NULL)"];

for (const [how, ...args] of RELAYS) {
  test(`a peer that knows only the seed keeps in step with our client over a relay that ${how}`, async (t) => {
    const relay = await storingRelay({ args });
    t.after(() => relay.stop());
    const ours = await device(null, T, { transport: await relay.transport("alice") });
    const others = await device(null, T, { transport: await relay.transport("bob") });
    const seed = await SeedPeer.open(T);
    const online = async () => seed.connect(await relay.socket("alice"));
    const all = async (db) => JSON.stringify([await exact(db, "t"), await exact(db, "tags")]);
    const alike = async (what) => {
      const same = async () => (await all(ours.db)) === (await all(seed.db));
      await until(same, what).catch(async (error) => {
        throw new Error(`${error.message}: ${await all(ours.db)} here, ${await all(seed.db)} there`);
      });
    };
    /** A row of each side's arrives at the other, so everything before it has been told. */
    let marks = 100;
    const both = async (what) => {
      marks += 2;
      await seed.write(`INSERT INTO t VALUES (${marks}, 'seed', 0)`);
      await ours.db.exec(`INSERT INTO t VALUES (${marks + 1}, 'ours', 0)`);
      await alike(what);
    };
    const texts = async () => (await ours.db.execA("SELECT id, a FROM t WHERE id < 100 ORDER BY id")) ?? [];

    await ours.db.exec("INSERT INTO t VALUES (1, 'ours, from before', 1), (2, 'ours', 2)");
    await seed.write("INSERT INTO t VALUES (3, 'of the seed, from before', 3)");
    await online();
    await both("what was there before");
    await seed.write("UPDATE t SET a = 'changed by the seed' WHERE id = 1");
    await ours.db.exec("UPDATE t SET a = 'changed by ours' WHERE id = 3");
    await seed.write("INSERT INTO tags VALUES ('of the seed')");
    await ours.db.exec("INSERT INTO tags VALUES ('ours'), ('gone soon')");
    await both("live changes");
    await seed.write("DELETE FROM t WHERE id = 2");
    await ours.db.exec("DELETE FROM tags WHERE name = 'gone soon'");
    await both("deletions");
    await ours.db.exec("INSERT INTO t VALUES (2, 'made again', NULL)");
    await ours.db.exec("UPDATE t SET id = 4 WHERE id = 1");
    await seed.write("UPDATE t SET id = 5 WHERE id = 3");
    await both("changed keys, and a row that came back");
    assert.deepEqual(await texts(), [[2, "made again"], [4, "changed by the seed"], [5, "changed by ours"]]);

    seed.disconnect();
    await seed.write("INSERT INTO t VALUES (6, 'alone', 6)");
    await seed.write("UPDATE t SET id = 7 WHERE id = 4");
    await seed.write("DELETE FROM t WHERE id = 5");
    await ours.db.exec("UPDATE t SET b = 22 WHERE id = 2");
    await ours.db.exec("UPDATE t SET id = 8 WHERE id = 2");
    await ours.db.exec("DELETE FROM tags WHERE name = 'of the seed'");
    await ours.client.waitForSynced({ level: "sent" });
    await online();
    await both("what each did while the seed's was away");
    assert.deepEqual(await texts(), [[6, "alone"], [7, "changed by the seed"], [8, "made again"]]);

    await relay.halt();
    seed.disconnect();
    await seed.write("UPDATE t SET a = 'while nobody listened' WHERE id = 6");
    await ours.db.exec("DELETE FROM t WHERE id = 7");
    await relay.resume();
    // Who knows only the seed asks when it comes, and never again: over a relay that keeps nothing somebody has to be there.
    await until(() => ["catching-up", "live"].includes(ours.client.status.state), "our client is back");
    await online();
    await both("what each did while the relay was away");
    assert.deepEqual(await texts(), [[6, "while nobody listened"], [8, "made again"]]);

    assert.deepEqual(seed.surprises, []);
    assert.ok(seed.heard.sync_request > 0 && seed.heard.sync_response > 0 && seed.heard.sync_push > 0, JSON.stringify(seed.heard));
    assert.deepEqual([ours.client.status.quarantined, ours.client.status.rejected], [0, 0]);
    assert.deepEqual(await exact(others.db, "t"), [], "another user's device has heard something");
    seed.disconnect();
    await Promise.all([ours, others].map(({ client }) => client.stop()));
  });
}

const PAGE = "YWJjZGVmZ2hpamtsbW5vcA==";
const message = (pk, content, db_version) => ({ table: "messages", pk, cid: "content", val: content, col_version: 1, db_version, site_id: PAGE, cl: 1, seq: 0 });
const frame = (type, payload) => JSON.stringify({ type, version: 1, siteId: PAGE, timestamp: 1701388800000, payload });

for (const [how, ...args] of RELAYS) {
  test(`the page's own examples, letter by letter, reach a database over a relay that ${how}`, async (t) => {
    const relay = await storingRelay({ args });
    t.after(() => relay.stop());
    const ours = await device(null, ["CREATE TABLE messages (id TEXT PRIMARY KEY NOT NULL, content TEXT)"], { transport: await relay.transport("alice") });
    const socket = await relay.socket("alice");
    const heard = [];
    socket.onmessage = ({ data }) => heard.push(JSON.parse(data));
    const came = (type) => until(() => heard.some((one) => one.type === type), `a ${type} comes`);
    const held = async () => (await ours.db.execA("SELECT id, content FROM messages ORDER BY id")) ?? [];

    // Its keys are the bare text, not what cr-sqlite packs.
    socket.send(frame("sync_push", { changes: [message("bXNnLTY3ODkw", "New message", 50)], baseVersion: 49 }));
    await until(async () => (await held()).length === 1);
    await came("sync_ack");
    const { payload: ack } = heard.find(({ type }) => type === "sync_ack");
    assert.equal(ack.receivedVersion, 50);
    assert.equal(ack.appliedCount, 1);
    // And the answer to what it is asked.
    heard.length = 0;
    socket.send(frame("sync_request", { sinceVersion: 0 }));
    await came("sync_request");
    await came("sync_response");
    socket.send(frame("sync_response", { changes: [message("bXNnLTEyMzQ1", "Hello!", 42)], currentVersion: 50 }));
    await until(async () => (await held()).length === 2);
    assert.deepEqual(await held(), [["msg-12345", "Hello!"], ["msg-67890", "New message"]]);
    const { payload: answer } = heard.find(({ type }) => type === "sync_response");
    assert.deepEqual(answer.changes.map(({ table, cid, val }) => [table, cid, val]), [["messages", "content", "New message"]]);
    assert.deepEqual([ours.client.status.quarantined, ours.errors.map(String)], [0, []]);
    socket.close();
    await ours.client.stop();
  });
}
