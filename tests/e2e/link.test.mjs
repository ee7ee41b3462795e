// What browsers and networks do to a connection that looks open: a server that hangs, a network that goes and comes
// back, a page that sleeps or lies in the back-forward cache. Each must be noticed, and must heal without a reload.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { freshUser, Stage, until } from "./harness.mjs";

const HEARTBEAT_MS = 1500;
/** The silence, the time to answer, and a busy machine. */
const NOTICED_WITHIN_MS = 2 * HEARTBEAT_MS + 2500;

let stage;
before(async () => {
  stage = await Stage.open();
});
after(() => stage?.close());

const inStep = async (left, right) => {
  await until("both to be equal", async () => JSON.stringify(await left.changes()) === JSON.stringify(await right.changes()));
};

test("a relay that hangs is noticed within the heartbeat's deadline, and everything arrives when it goes on", async (t) => {
  const page = await stage.visit({ user: freshUser(), heartbeat: HEARTBEAT_MS });
  await page.left.add("Before");
  await page.right.waitForTitles(["Before"]);
  await page.settled();
  // Long enough for several heartbeats: an idle connection that is well stays as it is.
  for (const device of page.devices) await device.record();
  await new Promise((resolve) => setTimeout(resolve, 3 * HEARTBEAT_MS));
  for (const device of page.devices) {
    const states = new Set((await device.recorded()).map(({ state }) => state));
    assert.deepEqual([...states].filter((state) => state !== "live"), [], `${device.name} was not left alone`);
  }

  const frozenAt = Date.now();
  stage.relay.freeze();
  try {
    for (const device of page.devices) await device.waitFor((status) => status.state !== "live");
    const noticed = Date.now() - frozenAt;
    t.diagnostic(`noticed after ${noticed} ms`);
    assert.ok(noticed <= NOTICED_WITHIN_MS, `${noticed} ms`);
    await page.left.add("While it hangs");
    await page.left.waitFor((status) => status.pendingChanges > 0);
  } finally {
    stage.relay.thaw();
  }
  await page.right.waitForTitles(["Before", "While it hangs"]);
  await page.settled();
  await inStep(page.left, page.right);
  await page.close();
});

test("the browser goes offline and comes back: the status says so, and nothing is lost", async (t) => {
  const user = freshUser();
  const away = await stage.visit({ user, device: "away", heartbeat: HEARTBEAT_MS });
  const home = await stage.visit({ user, device: "home" });
  await away.settled();
  await home.settled();

  await away.context.setOffline(true);
  await away.device.waitFor((status) => status.state !== "live");
  await away.device.exec("INSERT INTO tasks (id, title) VALUES ('a', 'Written offline')");
  await home.device.add("Written meanwhile");
  await away.device.waitFor((status) => status.pendingChanges > 0);

  const backAt = Date.now();
  await away.context.setOffline(false);
  await away.device.waitFor((status) => status.state === "live" && status.pendingChanges === 0);
  t.diagnostic(`live again after ${Date.now() - backAt} ms`);
  await home.device.waitForTitles(["Written meanwhile", "Written offline"]);
  await away.device.waitForTitles(["Written meanwhile", "Written offline"]);
  await inStep(away.device, home.device);
  await away.close();
  await home.close();
});

test("a page that was frozen while its connection died finds out when it wakes", async (t) => {
  const user = freshUser();
  const sleeper = await stage.visit({ user, device: "sleeper", heartbeat: HEARTBEAT_MS });
  const awake = await stage.visit({ user, device: "awake" });
  await sleeper.settled();
  await awake.settled();

  const session = await sleeper.context.newCDPSession(sleeper.page);
  await session.send("Page.setWebLifecycleState", { state: "frozen" });
  await stage.relay.kill();
  await stage.relay.start();
  await awake.device.add("While it slept");
  await awake.settled();
  await new Promise((resolve) => setTimeout(resolve, 2 * HEARTBEAT_MS));

  const wokenAt = Date.now();
  await session.send("Page.setWebLifecycleState", { state: "active" });
  await sleeper.device.waitForTitles(["While it slept"]);
  t.diagnostic(`in step ${Date.now() - wokenAt} ms after it woke`);
  await sleeper.settled();
  await inStep(sleeper.device, awake.device);
  await sleeper.close();
  await awake.close();
});

test("a page that comes out of the back-forward cache is live again without a reload", async (t) => {
  const user = freshUser();
  const traveller = await stage.visit({ user, device: "traveller" });
  const home = await stage.visit({ user, device: "home" });
  await traveller.settled();
  await home.settled();
  await traveller.page.evaluate(() => {
    window.survived = true;
  });
  await traveller.page.goto("about:blank");
  await home.device.add("While it was away");
  await home.settled();
  // A page that was kept does not load again.
  await traveller.page.goBack({ waitUntil: "commit" });
  // Whether the page was kept is the browser's choice; either way it has to find its way.
  await traveller.page.waitForFunction(() => window.demo !== undefined);
  t.diagnostic(`kept by the browser: ${await traveller.page.evaluate(() => window.survived === true)}`);
  await traveller.device.waitForTitles(["While it was away"]);
  await traveller.settled();
  await traveller.close();
  await home.close();
});
