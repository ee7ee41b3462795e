// A browser has one cookie, and a database one account: what becomes of a tab whose user is not the cookie's any more, and
// how it comes back. Against a real relay, on one transport whose user changes.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { pathToFileURL } from "node:url";
import { resolve } from "node:path";
import { device, until } from "./harness.mjs";
// Last: it brings the WebSocket that carries cookies.
const { storingRelay } = await import("./storing.mjs");
const folder = process.env.CRSQLITE_SYNC_PKG ?? resolve(import.meta.dirname, "../../pkg");
const { WsTransport } = await import(pathToFileURL(resolve(folder, "index.js")).href);

const T = ["CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, a)"];
const relay = await storingRelay();
after(() => relay.stop());
let number = 0;

const rows = async ({ db }) => (await db.execA("SELECT a FROM t ORDER BY a")).flat();
const refused = ({ client: { status } }) => status.state === "failed" && status.reason === "account-changed";
const goesOn = (one) => until(() => one.client.status.state === "live" && one.client.status.pendingChanges === 0, "it goes on");

/** A transport whose cookie is that of whoever was signed in last. */
async function browser(user) {
  let url = await relay.login(user);
  const transport = new WsTransport({ url: () => url, protocol: "relay", reconnectIntervalMs: 50, maxReconnectAttempts: 0 });
  return { transport, signIn: async (next) => void (url = await relay.login(next)) };
}

/** A tab of gus's, stopped because the cookie has become hal's; a device of hal's, and one of gus's, to see what arrives. */
async function stopped() {
  number += 1;
  const [gus, hal] = [`gus-${number}-account`, `hal-${number}-account`];
  const { transport, signIn } = await browser(gus);
  const tab = await device(null, T, { transport });
  await tab.db.exec("INSERT INTO t VALUES (1, 'of gus')");
  await tab.client.waitForSynced();
  const his = await device(null, T, { transport: await relay.transport(hal) });
  await his.db.exec("INSERT INTO t VALUES (2, 'of hal')");
  await his.client.waitForSynced();
  await signIn(hal);
  transport.reconnect();
  await until(() => refused(tab), "another account is noticed");
  await tab.db.exec("INSERT INTO t VALUES (3, 'of gus, later')");
  return { tab, his, gus, hal, signIn };
}

const ways = {
  "transport.reconnect()": ({ transport }) => void transport.reconnect(),
  "syncNow()": ({ client }) => client.syncNow(),
  "start()": ({ client }) => client.start(),
  "acceptAccount()": ({ client }) => client.acceptAccount(),
  "transport.reconnect() and acceptAccount() at once": ({ client, transport }) => (transport.reconnect(), client.acceptAccount()),
};

for (const [name, way] of Object.entries(ways)) {
  test(`once its own user is signed in again, ${name} lets a database go on, which stays theirs`, async () => {
    const { tab, his, gus, signIn } = await stopped();
    await signIn(gus);
    await way(tab);
    await goesOn(tab);
    assert.deepEqual(await rows(tab), ["of gus", "of gus, later"]);
    // A new start asks the relay anew whose it is.
    await tab.client.stop();
    await tab.client.start();
    await tab.client.waitForSynced();
    await goesOn(tab);
    await his.client.syncNow();
    assert.deepEqual(await rows(his), ["of hal"]);
    assert.equal(tab.errors.filter(({ code }) => code === "account-changed").length, 1);
    await Promise.all([tab.client.stop(), his.client.stop()]);
  });
}

test("while the other user is signed in, nothing but acceptAccount() lets a database go on, and nothing is told twice", async () => {
  const { tab, his, gus, hal, signIn } = await stopped();
  const states = [];
  tab.client.on("status", ({ state }) => states.push(state));
  tab.transport.reconnect();
  await assert.rejects(tab.client.syncNow(), { code: "account-changed", retryable: false });
  await tab.client.start();
  await assert.rejects(tab.client.syncNow(), { code: "account-changed" });
  assert.deepEqual([...new Set(states)].filter((state) => state !== "failed"), []);
  assert.equal(tab.errors.filter(({ code }) => code === "account-changed").length, 1);
  await his.client.syncNow();
  assert.deepEqual([await rows(tab), await rows(his)], [["of gus", "of gus, later"], ["of hal"]]);
  await tab.client.acceptAccount();
  await tab.client.waitForSynced();
  await his.client.syncNow();
  const all = ["of gus", "of gus, later", "of hal"];
  await until(async () => (await rows(tab)).length === 3, "all of hal's comes");
  assert.deepEqual([await rows(tab), await rows(his)], [all, all]);
  await tab.client.stop();
  await tab.client.start();
  await goesOn(tab);
  await signIn(gus); // no longer whose it is
  tab.transport.reconnect();
  await until(() => refused(tab), `it is ${hal}'s`);
  await Promise.all([tab.client.stop(), his.client.stop()]);
});

test("acceptAccount() accepts the account that was refused, and no third one that is named by then", async () => {
  const { tab, his, gus, signIn } = await stopped();
  await signIn(`ida-${number}-account`);
  await assert.rejects(tab.client.acceptAccount(), { code: "account-changed" });
  assert.ok(refused(tab));
  assert.equal(tab.errors.filter(({ code }) => code === "account-changed").length, 2, "the third one is news");
  await signIn(gus);
  await tab.client.syncNow();
  await goesOn(tab);
  assert.deepEqual(await rows(tab), ["of gus", "of gus, later"]);
  await Promise.all([tab.client.stop(), his.client.stop()]);
});
