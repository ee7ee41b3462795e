// The quick start of the README, pasted into an empty folder and used by two devices: first as a developer runs it, with
// Vite's dev server before the relay, then built, with the relay serving the page. Beside it the recipe of a worker.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import { blocksOf, root } from "./pages.mjs";
import { app, copy, link, write } from "./project.mjs";

const RELAY = process.env.CRSQLITE_RELAY ?? `${root}target/debug/crsqlite-relay`;
const files = blocksOf("README.md").filter(({ file }) => file !== undefined);

let browser;
const endings = [];
before(async () => {
  const executablePath = process.env.CHROME;
  assert.ok(executablePath, "CHROME must name a Chrome or Chromium; `cargo xtask test --only docs` finds one");
  browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-quic"] });
  // What `npm install` of the quick start leaves on the disk.
  copy("@vlcn.io/crsqlite-wasm");
  link();
});
after(async () => {
  await browser?.close();
  for (const end of endings.reverse()) await end();
});

/** A relay with a database that goes with it. */
async function relay({ port = 0, args = [] } = {}) {
  const folder = mkdtempSync(join(tmpdir(), "crsqlite-quick-start-"));
  const child = spawn(RELAY, ["--dev", "--listen", `127.0.0.1:${port}`, "--database", join(folder, "relay.db"), ...args]);
  endings.push(async () => {
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await gone;
    rmSync(folder, { recursive: true });
  });
  return new Promise((found, failed) => {
    child.once("error", failed).once("exit", (code) => failed(new Error(`the relay has ended (${code})`)));
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on("line", (line) => {
        const [, port] = /listening on http:\/\/[^:]+:(\d+)/.exec(line) ?? [];
        if (port) found(`http://127.0.0.1:${port}`);
      });
    }
  });
}

/** A port where nobody listens. */
async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

/** A window, with whatever a developer would see in red. */
async function visit(address, profile) {
  const page = await profile.newPage();
  page.setDefaultTimeout(30_000);
  const problems = [];
  page.on("pageerror", (error) => problems.push(error.message));
  page.on("console", (message) => {
    if (message.type() === "error") problems.push(message.text());
  });
  await page.goto(address);
  const shows = (...titles) =>
    page.waitForFunction((wanted) => [...document.querySelectorAll("#tasks li")].map((item) => item.textContent).join() === wanted, titles.join());
  const live = () => page.waitForFunction(() => document.querySelector("#status").textContent === "live, 0 changes to be sent");
  const add = async (title) => {
    await page.fill("input", title);
    await page.click("button");
  };
  return { page, problems, shows, live, add };
}

/** Two devices in one browser and one in another: what one writes, all show. */
async function devices(origin) {
  const [profile, other] = [await browser.newContext(), await browser.newContext()];
  const one = await visit(origin, profile);
  const two = await visit(`${origin}/?device=2`, profile);
  const elsewhere = await visit(origin, other);
  const all = [one, two, elsewhere];
  await Promise.all(all.map((device) => device.live()));
  await one.add("Buy milk");
  await two.add("Call mother");
  await Promise.all(all.map((device) => device.shows("Buy milk", "Call mother")));
  await Promise.all(all.map((device) => device.live()));
  await one.page.reload();
  await one.shows("Buy milk", "Call mother");
  assert.deepEqual(all.flatMap(({ problems }) => problems), []);
  await Promise.all([profile.close(), other.close()]);
}

/** Vite's dev server in the folder, with the quick start's configuration, before a relay of its own or the one at `origin`. */
async function developing(origin) {
  origin ??= await relay();
  for (const { file, code } of files) write(file, code.replace("http://127.0.0.1:8787", origin));
  const vite = await import("vite");
  const server = await vite.createServer({ root: app, logLevel: "error", server: { host: "127.0.0.1", port: 0 } });
  endings.push(() => server.close());
  await server.listen();
  return `http://127.0.0.1:${server.httpServer.address().port}`;
}

test("pasted into an empty folder, it runs with Vite's dev server, and two devices hold the same", async () => {
  assert.deepEqual(files.map(({ file }) => file), ["vite.config.mjs", "index.html", "main.js"]);
  await devices(await developing());
});

test("a page that was opened before the relay runs goes on by itself when it does", async () => {
  const port = await freePort();
  const origin = await developing(`http://127.0.0.1:${port}`);
  const profile = await browser.newContext();
  const device = await visit(origin, profile);
  await device.page.waitForFunction(() => document.querySelector("#status").textContent.startsWith("connecting"));
  await relay({ port });
  await device.live();
  await profile.close();
});

test("the recipe's worker holds a device, and says what went wrong", async () => {
  const parts = blocksOf("docs/recipes.md").filter(({ file }) => file === "worker.js" || file === "page.js");
  assert.equal(parts.length, 2);
  for (const { file, code } of parts) write(file, code);
  write("worker.html", '<p id="status"></p><script type="module">import { query } from "/page.js"; window.query = query;</script>');
  const origin = await developing();
  const profile = await browser.newContext();
  await profile.request.get(`${origin}/dev/login?user=alice`);
  const { page } = await visit(`${origin}/worker.html`, profile);
  await page.waitForFunction(() => window.query !== undefined);
  const query = (sql) => page.evaluate((sql) => window.query(sql).catch(({ message }) => message), sql);
  await query("INSERT INTO tasks (id, title) VALUES ('a', 'Buy milk')");
  assert.deepEqual(await query("SELECT title FROM tasks"), [["Buy milk"]]);
  assert.equal(typeof (await query("SELECT nothing FROM tasks")), "string", "a message, and no rows");
  await page.waitForFunction(() => document.querySelector("#status").textContent === "live");
  await profile.close();
});

test("built, it runs from the relay itself", async () => {
  const { build } = await import("vite");
  await build({ root: app, logLevel: "error" });
  await devices(await relay({ args: ["--static", join(app, "dist")] }));
});
