// Real browsers on a server of the push-pull contract: a page of plain modules, a database on IndexedDB, HttpTransport
// and WsTransport. The server is killed and comes back; so does the network.
import assert from "node:assert/strict";
import { createReadStream } from "node:fs";
import { extname, join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { startServer } from "../contract/server.mjs";
import { until } from "./harness.mjs";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
/** What the page is made of, by the first part of a path; it is of the server's origin. */
const FOLDERS = { app: here("push-pull"), modules: here("../node_modules"), pkg: process.env.CRSQLITE_SYNC_PKG ?? here("../../pkg") };
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm" };

let browser;
const servers = new Set();
before(async () => {
  const executablePath = process.env.CHROME;
  assert.ok(executablePath, "CHROME must name a Chrome or Chromium; `cargo xtask test --only e2e` finds one");
  browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu", "--disable-quic"] });
});
after(async () => {
  await browser?.close();
  for (const server of servers) await server.stop().catch(() => {}); // or stopped already
});

async function serve(options) {
  const server = await startServer({ besides: page, ...options });
  servers.add(server);
  return server;
}

function page(request, response) {
  const [, folder, ...path] = new URL(request.url, "http://x").pathname.split("/");
  if (!(folder in FOLDERS)) return false;
  const file = createReadStream(join(FOLDERS[folder], ...path));
  file.on("error", () => response.writeHead(404).end());
  response.setHeader("content-type", TYPES[extname(file.path)] ?? "application/octet-stream");
  file.pipe(response);
  return true;
}

/** A browser of its own profile with the page in it. */
class Browser {
  /** Everything that a developer would see in red. */
  problems = [];

  static async open(server, over) {
    const made = new Browser();
    made.context = await browser.newContext();
    made.page = await made.context.newPage();
    made.page.on("pageerror", (error) => made.problems.push(`uncaught: ${error.message}`));
    made.page.on("console", (message) => message.type() === "error" && made.problems.push(message.text()));
    await made.page.goto(new URL(`/app/index.html?over=${over}`, server.url).href);
    await made.opened();
    return made;
  }

  async opened() {
    await this.page.waitForFunction(() => window.opening);
    await this.page.evaluate(async () => void (await window.opening));
  }

  async exec(...statements) {
    for (const sql of statements) await this.page.evaluate((sql) => window.device.db.exec(sql), sql);
  }

  rows() {
    return this.page.evaluate(() => window.device.db.execA("SELECT id, quote(body) FROM notes ORDER BY id"));
  }

  changes() {
    const sql = 'SELECT "table", hex(pk), cid, hex(crsql_pack_columns(val)), col_version, cl FROM crsql_changes ORDER BY 1, 2, 3';
    return this.page.evaluate((sql) => window.device.db.execA(sql), sql);
  }

  status() {
    return this.page.evaluate(() => ({ ...window.device.client.status }));
  }

  async reaches(what, condition) {
    await until(what, async () => condition(await this.status()), () => this.status());
  }

  /** What is not as it should be at the end of a calm day. */
  troubles() {
    return this.page.evaluate(async () => {
      const { client, errors } = window.device;
      return [...errors, ...(await client.quarantine()), ...(await client.rejected())];
    });
  }
}

/** Waits until both hold the same changes and have nothing left to send. */
async function alike(one, other) {
  let seen;
  const equal = async () => {
    seen = [await one.changes(), await other.changes()];
    return JSON.stringify(seen[0]) === JSON.stringify(seen[1]);
  };
  await until("both to hold the same changes", equal, () => seen);
  for (const side of [one, other]) await side.reaches("nothing left to send", ({ state, pendingChanges }) => state === "live" && pendingChanges === 0);
  assert.deepEqual(await one.rows(), await other.rows());
  return seen[0];
}

for (const [one, other] of [["POST", "POST"], ["WS", "WS"], ["GET", "WS"]]) {
  test(`two browsers keep in step over ${one} and ${other}, also after a reload`, async () => {
    const server = await serve({ pageSize: 4 });
    const [left, right] = [await Browser.open(server, one), await Browser.open(server, other)];
    await left.exec("INSERT INTO notes VALUES ('a', 'left'), ('b', 9223372036854775807), ('c', -0.0), ('d', 9e999), ('e', x'00ff'), ('f', 'a' || char(0))");
    await right.exec("INSERT INTO notes VALUES ('g', 5.0), ('h', NULL)");
    assert.equal((await alike(left, right)).length, 8);
    await left.exec("UPDATE notes SET body = 'of the left' WHERE id = 'a'", "DELETE FROM notes WHERE id = 'b'");
    await right.exec("UPDATE notes SET body = 'of the right' WHERE id = 'a'", "UPDATE notes SET id = 'i' WHERE id = 'h'");
    await alike(left, right);
    assert.deepEqual((await left.rows()).map(([id]) => id), ["a", "c", "d", "e", "f", "g", "i"]);

    const booked = server.store.changes.length;
    const before = (await left.status()).lastSyncedAt;
    await left.page.reload();
    await left.opened();
    await left.reaches("a sync of its own", ({ lastSyncedAt }) => lastSyncedAt > before);
    assert.equal((await left.status()).progress.received, 0, "the cursor has survived");
    await right.exec("INSERT INTO notes VALUES ('j', 'after the reload')");
    await alike(left, right);
    assert.equal(server.store.changes.length, booked + 1);
    for (const side of [left, right]) {
      assert.deepEqual([await side.troubles(), side.problems], [[], []]);
      await side.context.close();
    }
  });
}

for (const [one, other] of [["POST", "WS"], ["WS", "GET"]]) {
  test(`the server is killed and comes back: ${one} and ${other} go on by themselves`, async () => {
    const server = await serve();
    const [left, right] = [await Browser.open(server, one), await Browser.open(server, other)];
    await left.exec("INSERT INTO notes VALUES ('a', 'before')");
    await alike(left, right);
    await server.stop();
    for (const side of [left, right]) await side.reaches("the loss", ({ state }) => state === "connecting");
    await left.exec("UPDATE notes SET body = 'meanwhile, left' WHERE id = 'a'", "INSERT INTO notes VALUES ('b', 'left')");
    await right.exec("UPDATE notes SET body = 'meanwhile, right' WHERE id = 'a'");
    await left.reaches("what waits", ({ pendingChanges }) => pendingChanges === 2);
    await right.reaches("what waits", ({ pendingChanges }) => pendingChanges === 1);
    await serve({ ...server.options, store: server.store });
    await alike(left, right);
    assert.equal((await right.rows()).length, 2);
    for (const side of [left, right]) {
      assert.ok(side.problems.every((text) => !text.startsWith("uncaught")), side.problems.join("\n"));
      await side.context.close();
    }
  });

  test(`one browser is offline for a while: ${one} and ${other} go on by themselves`, async () => {
    const server = await serve();
    const [left, right] = [await Browser.open(server, one), await Browser.open(server, other)];
    await alike(left, right);
    await left.context.setOffline(true);
    await left.reaches("to be offline", ({ state, reason }) => state === "offline" && reason === "offline");
    await left.exec("INSERT INTO notes VALUES ('a', 'in the tunnel')");
    await right.exec("INSERT INTO notes VALUES ('b', 'in the sun')");
    await right.page.evaluate(() => window.device.client.waitForSynced());
    await left.reaches("what waits", ({ pendingChanges }) => pendingChanges === 1);
    assert.deepEqual((await left.rows()).map(([id]) => id), ["a"]);
    assert.equal(server.store.changes.length, 1);
    await left.context.setOffline(false);
    await alike(left, right);
    assert.equal((await left.rows()).length, 2);
    for (const side of [left, right]) {
      assert.ok(side.problems.every((text) => !text.startsWith("uncaught")), side.problems.join("\n"));
      await side.context.close();
    }
  });
}

test("over HTTP, too, a browser goes on at once when the network is back", async () => {
  const server = await serve();
  const device = await Browser.open(server, "POST");
  await device.reaches("a first sync", ({ state }) => state === "live");
  await device.context.setOffline(true);
  await device.reaches("a long pause", ({ retryAt }) => retryAt > Date.now() + 3_000);
  const back = Date.now();
  await device.context.setOffline(false);
  await device.reaches("another try", ({ state }) => state === "live");
  assert.ok(Date.now() - back < 1_500, `it took ${Date.now() - back} ms`);
  await device.context.close();
});
