// The demo as an installed app: its service worker keeps the page, the database keeps the rows, and the relay may be gone.

import assert from "node:assert/strict";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { APP, freshUser, Stage, until } from "./harness.mjs";

let folder;
let stage;
before(async () => {
  // A copy, so that a newer version can be put in its place.
  folder = await mkdtemp(join(tmpdir(), "crsqlite-demo-"));
  await cp(APP, folder, { recursive: true });
  stage = await Stage.open({ app: folder });
});
after(async () => {
  await stage?.close();
  if (folder) await rm(folder, { recursive: true, force: true });
});

/** A page whose service worker has all it needs. */
async function installed() {
  const context = await stage.browser.newContext();
  const page = await stage.visit({ user: freshUser(), context });
  await page.page.getByText("Works offline").waitFor();
  await page.settled();
  return page;
}

test("without a relay the page loads and works, and sends what was written when it is back", async () => {
  const page = await installed();
  await page.left.add("Before");
  await page.right.waitForTitles(["Before"]);
  await page.settled();
  await stage.relay.kill();

  await page.reload();
  await page.left.waitForTitles(["Before"]);
  await page.left.add("Without a relay");
  await page.left.toggle("Before");
  await page.left.waitFor(({ state, pendingChanges }) => state === "connecting" && pendingChanges > 0);
  assert.match(await page.left.card.locator(".sentence").textContent(), /The relay does not answer\..* Edits are kept here\./);
  assert.ok(await page.page.locator("#notice").isHidden(), "being offline is no error");
  await page.reload();
  await page.left.waitForTitles(["Before", "Without a relay"]);

  // What is no file of the page is not answered from anywhere else.
  const asked = await page.page.evaluate(() =>
    Promise.all(["api/v1/sync", "sync", "dev/login", "health"].map((path) => fetch(path).then(() => "answered", () => "no answer"))),
  );
  assert.deepEqual(asked, ["no answer", "no answer", "no answer", "no answer"]);

  await stage.relay.start();
  await page.settled();
  await page.right.waitForTitles(["Before", "Without a relay"]);
  assert.deepEqual(await page.right.changes(), await page.left.changes());
  await page.close();
});

test("it can be installed, and keeps nothing but its files", async () => {
  const page = await installed();
  const session = await page.context.newCDPSession(page.page);
  const { installabilityErrors } = await session.send("Page.getInstallabilityErrors");
  // A profile of the tests is like a private window, where browsers install nothing.
  assert.deepEqual(installabilityErrors.map(({ errorId }) => errorId).filter((error) => error !== "in-incognito"), []);
  const { errors, data } = await session.send("Page.getAppManifest");
  assert.deepEqual(errors, []);
  for (const { src, sizes } of JSON.parse(data).icons) {
    const size = await page.page.evaluate(sizeOf, src);
    if (sizes !== "any") assert.equal(size, sizes, src);
  }
  const kept = await page.page.evaluate(async () => {
    const caches = await window.caches.keys();
    const requests = await Promise.all(caches.map(async (name) => (await window.caches.open(name)).keys()));
    return requests.flat().map(({ url }) => new URL(url).pathname);
  });
  assert.ok(kept.includes("/index.html") && kept.some((path) => path.endsWith(".wasm")), kept.join(" "));
  assert.deepEqual(kept.filter((path) => /^\/(api|sync|dev)/.test(path)), []);
  await page.close();
});

test("a newer version is offered, and comes when somebody takes it", async () => {
  const page = await installed();
  const file = join(folder, "sw.js");
  const worker = await readFile(file, "utf8");
  const version = /version:`?"?([0-9a-f]{12})|"version":"([0-9a-f]{12})/.exec(worker)?.slice(1).find(Boolean);
  assert.ok(version, "the worker has a version");
  await writeFile(file, worker.replace(version, "000000000000"));
  const caches = () => page.page.evaluate(() => window.caches.keys());
  assert.deepEqual(await caches(), [`crsqlite-sync-demo ${version}`]);

  await page.page.evaluate(async () => (await navigator.serviceWorker.getRegistration()).update());
  await page.page.getByText("A new version of this page is here.").waitFor();
  await page.page.evaluate(() => (window.sameDocument = true));
  await page.page.getByRole("button", { name: "Reload" }).click();
  await until("another document", () => page.page.evaluate(() => window.sameDocument === undefined && window.demo !== undefined).catch(() => false));
  await until("the older files to be gone", async () => (await caches()).join() === "crsqlite-sync-demo 000000000000", caches);
  await page.page.evaluate(() => window.demo.ready);
  await page.settled();
  assert.deepEqual(page.problems, []);
  await page.close();
});

test("the page runs under a policy that lets in no other script", async () => {
  const page = await stage.visit({ user: freshUser() });
  await page.settled();
  const ran = await page.page.evaluate(async () => {
    await new Promise((resolve) => setTimeout(resolve)); // what the debugger itself evaluates is exempt
    const script = document.createElement("script");
    script.textContent = "window.intruded = true";
    document.body.append(script);
    let evaluated = true;
    try {
      new Function("")();
    } catch {
      evaluated = false;
    }
    return { inline: window.intruded === true, evaluated };
  });
  assert.deepEqual(ran, { inline: false, evaluated: false });
  await page.close();
});

/** Runs in the page. */
async function sizeOf(src) {
  const image = new Image();
  image.src = src;
  await image.decode();
  return `${image.naturalWidth}x${image.naturalHeight}`;
}
