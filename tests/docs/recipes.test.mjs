// Recipes that do something by themselves, done: the token opens the relay, the schema migrates, the test passes.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { transformWithOxc } from "vite";
import { open } from "../node/database.mjs";
import { until } from "../node/harness.mjs";
import { storingRelay } from "../node/storing.mjs";
import { blocksOf } from "./pages.mjs";
import { crsqliteSync } from "../package/package.mjs";
import { app, copy, write } from "./project.mjs";

const recipe = (file) => {
  const found = blocksOf("docs/recipes.md").find((block) => block.file === file);
  assert.ok(found, `${file} stands in the recipes`);
  return found.code;
};
/** Imports a recipe, as often as it is asked for: each time with the globals of that moment. */
let loaded = 0;
async function load(file) {
  const { code } = await transformWithOxc(recipe(file), file);
  return import(pathToFileURL(write(`run/${(loaded += 1)}-${file.replace(/\.\w+$/, ".mjs")}`, code)).href);
}

test("a token that is made by hand is one that the relay takes, and one with another secret is not", async () => {
  const secret = "a secret of at least thirty-two bytes";
  const relay = await storingRelay({ args: ["--jwt-secret", secret] });
  try {
    const { token, cookie } = await load("token.mjs");
    const pull = (headers) => fetch(`${relay.origin}/sync/pull`, { headers });
    assert.equal((await pull({ authorization: `Bearer ${token("alice", secret)}` })).status, 200);
    assert.equal((await pull({ authorization: `Bearer ${token("alice", `${secret}!`)}` })).status, 401);
    assert.equal((await pull({ cookie: cookie("alice", secret).split(";")[0] })).status, 200);
  } finally {
    await relay.stop();
  }
});

test("the schema is brought up from any step, once, also where two tabs do it at the same time", async () => {
  const { migrate } = await load("schema.ts");
  const [first, second] = [await open("schema.db"), await open("schema.db")];
  await Promise.all([migrate(first), migrate(second)]);
  await first.exec("INSERT INTO tasks (id, title, due) VALUES ('a', 'Buy milk', 5)");
  await migrate(first);
  assert.deepEqual(await second.execA("SELECT title, due FROM tasks"), [["Buy milk", 5]]);
  assert.deepEqual(await first.execA("SELECT cid FROM crsql_changes ORDER BY cid"), [["due"], ["title"]]);

  const older = await open();
  await older.exec("CREATE TABLE tasks (id TEXT PRIMARY KEY NOT NULL, title TEXT NOT NULL DEFAULT '')");
  await older.exec("SELECT crsql_as_crr('main', 'tasks')");
  await older.exec("INSERT INTO tasks VALUES ('b', 'Call mother')");
  await older.exec("PRAGMA user_version = 1");
  await migrate(older);
  await older.exec("UPDATE tasks SET due = 7");
  assert.deepEqual(await older.execA("SELECT title, due FROM tasks"), [["Call mother", 7]]);
  assert.deepEqual(await older.execA("SELECT cid, val FROM crsql_changes WHERE cid = 'due'"), [["due", 7]]);
  for (const db of [first, second, older]) await db.close();
});

test("the tests of an app pass: on a database, and on a network", async () => {
  for (const name of ["@vlcn.io/crsqlite-wasm", "fake-indexeddb"]) copy(name);
  const files = ["sqlite.mjs", "app.test.mjs", "sync.test.mjs"].map((name) => write(`run/${name}`, recipe(name)));
  // Without what tells a test's process that it runs in a test.
  const { NODE_TEST_CONTEXT, ...env } = process.env;
  const args = ["--test", "--test-reporter=tap", ...files.slice(1)];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: app, env, timeout: 30_000 });
  assert.match(stdout, /^# pass 2$/m);
});

test("the indicator counts as people do, and says of every state what they can make of it", async () => {
  const { words } = await load("indicator.ts");
  const said = (status) => words({ state: "live", pendingChanges: 0, quarantined: 0, rejected: 0, progress: { received: 0, sent: 0 }, ...status });
  assert.equal(said({}), "Up to date.");
  assert.equal(said({ rejected: 1 }), "One change was refused by the server.");
  assert.equal(said({ quarantined: 2 }), "2 changes need a newer version of this app.");
  assert.equal(said({ state: "offline", pendingChanges: 2 }), "Not all is saved yet.");
  assert.equal(said({ state: "failed", reason: "account-changed" }), "The data on this device belongs to another account.");
  assert.match(said({ state: "failed", reason: "storage-full", pendingChanges: 1 }), /no room left on this device\. Not all is saved yet\.$/);
  assert.equal(said({ state: "standby", reason: "needs-auth" }), said({ state: "needs-auth" }));
  for (const state of ["stopped", "standby", "offline", "connecting", "catching-up", "live", "needs-auth", "failed"]) assert.ok(said({ state }), state);
});

test("a row that was kept aside has a line for people, whatever the row is", async () => {
  const { describe } = await load("kept.ts");
  const row = { table: "tasks", pk: "AQs=", cid: "title", val: "Buy milk" };
  assert.equal(describe({ peer: "", code: "too-large", row }), 'tasks, title = "Buy milk": too-large');
  assert.equal(describe({ peer: "", code: "refused", row: { ...row, cid: "-1", val: null } }), "tasks, the row itself: refused");
  assert.match(describe({ peer: "", code: "malformed-row", row: null }), /malformed-row$/);
});

test("a database that could not be opened the first time gets another name, and one that could keeps it", async () => {
  const kept = new Map();
  globalThis.localStorage = { getItem: (key) => kept.get(key) ?? null, setItem: (key, name) => kept.set(key, name) };
  const { openFor } = await load("open.js");
  const halfMade = new Set();
  const sqlite = {
    async open(name) {
      if (halfMade.size === 0) halfMade.add(name);
      if (halfMade.has(name)) throw new Error("sqlite3_open_v2");
      return name;
    },
  };
  await assert.rejects(openFor(sqlite, "alice"), /sqlite3_open_v2/);
  const names = await Promise.all([openFor(sqlite, "alice"), openFor(sqlite, "alice")]);
  assert.equal(names[0], names[1]);
  assert.notEqual(await openFor(sqlite, "bob"), names[0]);
});

test("two devices hold the same over a transport of an app's own", async () => {
  assert.ok(crsqliteSync.SyncClient, "the package is loaded: the recipe says nothing of it");
  const log = [];
  globalThis.rpc = async (name, body) => {
    if (name === "after") return { records: log.slice(body ?? 0), next: `${log.length}`, more: false };
    for (const record of body) if (!log.some(({ id }) => id === record.id)) log.push(record);
    return { stored: body.map(({ id }) => id) };
  };
  const devices = [];
  for (const title of ["of one", "of two"]) {
    globalThis.db = await open();
    await db.exec("CREATE TABLE tasks (id TEXT PRIMARY KEY NOT NULL, title TEXT)");
    await db.exec("SELECT crsql_as_crr('main', 'tasks')");
    await db.exec("INSERT INTO tasks VALUES (?, ?)", [title, title]);
    const { client } = await load("own-transport.ts");
    devices.push({ client, db });
    await client.start();
    await client.waitForSynced();
  }
  const titles = ({ db }) => db.execA("SELECT title FROM tasks ORDER BY title");
  for (const device of devices) {
    await device.client.syncNow();
    await until(async () => `${await titles(device)}` === "of one,of two");
    assert.deepEqual(await device.client.rejected(), []);
    await device.client.stop();
  }
});
