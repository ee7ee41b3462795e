// A new device of a user who has been at work for years: many rows into IndexedDB in a real browser, with a reload on the
// way. CATCH_UP_ROWS makes it longer.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, test } from "node:test";
import { freshUser, Stage } from "./harness.mjs";
import { buildSite } from "./site.mjs";
import { bodyOf, fillLog } from "./tabs/log.mjs";
import { mainThreadTasks } from "./trace.mjs";

const ROWS = Number(process.env.CATCH_UP_ROWS ?? 30_000);
const BYTES = 40;
/** More than a page of the relay holds. */
const PAGE = 5_000;
/** No task of the page may work for longer, in the time of its thread: a machine that others use as well is no excuse. */
const LONGEST_TASK_MS = 100;
const BEAT_MS = 10;

let site;
let stage;
before(async () => {
  site = await buildSite("tabs", ["index.html"]);
  stage = await Stage.open({ app: site.folder });
});
after(async () => {
  await stage?.close();
  await site?.remove();
});

test("a long catch-up shows progress, keeps the page responsive, and goes on after a reload where it was", async (t) => {
  const user = freshUser();
  await fillLog(stage.relay.url, user, ROWS, { bytes: BYTES });
  const context = await stage.browser.newContext();
  const page = await context.newPage();
  const call = (method, ...args) => page.evaluate(([method, args]) => window.call(method, ...args), [method, args]);
  const opened = async () => {
    await page.waitForFunction(() => window.call);
    await call("status");
    await page.evaluate(heartbeat, BEAT_MS);
  };
  await page.goto(`${stage.relay.url}?user=${user}&name=notes&start=no`);
  await opened();

  await stage.browser.startTracing(page, { categories: ["-*", "toplevel", "__metadata"] });
  const began = Date.now();
  await call("start");
  const first = await follow(call, ({ progress }) => progress.received >= ROWS / 2);
  const tasks = mainThreadTasks(await stage.browser.stopTracing());
  const beats = await page.evaluate(() => window.beats);
  const keys = await keysOfEvents(page);
  const kept = await call("count");
  const reloadedAfter = Date.now() - began;
  await page.reload();
  await opened();
  const alreadyThere = await call("count");
  const resumed = Date.now();
  await call("start");
  const second = await follow(call, ({ state }) => state === "live");
  const took = reloadedAfter + Date.now() - resumed;

  const heap = await page.evaluate(() => performance.memory.usedJSHeapSize);
  beats.sort((one, other) => one - other);
  const median = beats[beats.length >> 1];
  t.diagnostic(`${ROWS} rows: ${Math.round((ROWS * 1000) / took)} rows/s over both halves; JavaScript heap at the end ${Math.round(heap / 1e6)} MB`);
  t.diagnostic(`longest tasks ${tasks.slice(0, 5).join(", ")} ms of the thread's time; beats of ${BEAT_MS} ms: median ${median}, longest ${beats.at(-1)} ms`);
  t.diagnostic(`reloaded at ${first.at(-1).received} received, ${kept} there, ${alreadyThere} after the reload; then received ${second.at(-1).received}`);

  // Progress: each sample at least the one before, and enough of them to draw a bar: a step for each page, and what is left after
  // the reload may be less than one.
  for (const samples of [first, second]) {
    const steps = Math.min(4, 1 + Math.ceil(samples.at(-1).received / PAGE));
    assert.ok(new Set(samples.map(({ received }) => received)).size >= steps, JSON.stringify(samples));
    samples.reduce((before, now) => assert.ok(now.received >= before.received) ?? now);
    const remaining = samples.map((sample) => sample.remaining).filter((left) => left !== undefined);
    remaining.reduce((before, now) => assert.ok(now <= before, remaining.join(" ")) ?? now);
  }
  assert.equal(second.at(-1).remaining, 0);

  assert.ok(tasks.length > 100, "the trace has the tasks of the page");
  assert.ok(tasks[0] <= LONGEST_TASK_MS, `a task of ${tasks[0]} ms`);
  assert.ok(median < 5 * BEAT_MS, `half of the beats came after ${median} ms and later`);
  assert.ok(keys.length > 3 && Math.max(...keys) <= PAGE, `events of ${keys.join(", ")} keys`);

  // What was committed before the reload is not asked for again, but for what IndexedDB had not written yet.
  assert.ok(alreadyThere >= ROWS / 4, `${alreadyThere} of ${kept} rows are there after the reload`);
  assert.ok(second.at(-1).received <= ROWS - alreadyThere + PAGE, `received ${second.at(-1).received} more with ${alreadyThere} there`);

  assert.equal(await digestOf(page), expectedDigest());
  assert.deepEqual(await call("heard", "error"), []);
  await context.close();
});

/** Samples of the progress until the condition holds. */
async function follow(call, condition) {
  const samples = [];
  const deadline = Date.now() + ROWS * 5 + 30_000;
  for (;;) {
    const status = await call("status");
    samples.push({ received: status.progress.received, remaining: status.progress.remainingVersions });
    if (condition(status)) return samples;
    if (Date.now() > deadline) throw new Error(`it takes too long: ${JSON.stringify(status)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Runs in the page: how long each beat took to come. */
function heartbeat(ms) {
  window.beats = [];
  const { port1, port2 } = new MessageChannel();
  let last = performance.now();
  port1.onmessage = () => {
    const now = performance.now();
    window.beats.push(Math.round(now - last));
    last = now;
    setTimeout(() => port2.postMessage(0), ms);
  };
  port2.postMessage(0);
}

const keysOfEvents = (page) =>
  page.evaluate(() => window.device.heard("applied").map(({ value }) => Object.values(value.tables).flat().length));

const digestOf = (page) =>
  page.evaluate(async () => {
    const rows = await window.call("rows");
    const bytes = new TextEncoder().encode(rows.map(([id, body]) => `${id} ${body}\n`).join(""));
    const digest = await crypto.subtle.digest("SHA-256", bytes);
    return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
  });

function expectedDigest() {
  const hash = createHash("sha256");
  for (let id = 1; id <= ROWS; id += 1) hash.update(`${id} ${bodyOf(id, BYTES)}\n`);
  return hash.digest("hex");
}
