// Devices that are cut off, each by its own switch, or all of them because the relay is gone.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { freshUser, Stage, until } from "./harness.mjs";

let stage;
before(async () => {
  stage = await Stage.open();
});
after(() => stage?.close());

test("both edit offline, the same row and others, and end up the same", async () => {
  const page = await stage.visit({ user: freshUser() });
  await page.settled();
  for (const title of ["Shared", "Left's own", "Right's own", "To be deleted", "Deleted here, edited there"]) await page.left.add(title);
  await page.right.waitForTitles(await page.left.titles());
  await page.settled();

  await page.left.switch(false);
  await page.right.switch(false);
  await page.left.rename("Shared", "Shared, as the left has it");
  await page.right.rename("Shared", "Shared, as the right has it");
  await page.right.toggle("Shared, as the right has it");
  await page.left.rename("Left's own", "Left's own, edited");
  await page.right.rename("Right's own", "Right's own, edited");
  await page.left.remove("To be deleted");
  await page.left.remove("Deleted here, edited there");
  await page.right.rename("Deleted here, edited there", "Edited there");
  await page.left.add("Added on the left");
  await page.right.add("Added on the right");

  for (const device of page.devices) {
    await device.waitFor((status) => status.pendingChanges > 0);
    assert.notEqual((await device.status()).state, "live");
    await until("the card shows the pending changes", async () => (await device.shown()).pending === (await device.status()).pendingChanges);
  }
  assert.ok((await page.right.titles()).includes("To be deleted"), "nothing travels while both are off");

  await page.left.switch(true);
  await page.right.switch(true);
  await page.settled();
  await until(
    "both lists to be equal",
    async () => JSON.stringify(await page.left.titles()) === JSON.stringify(await page.right.titles()),
    async () => [await page.left.titles(), await page.right.titles()],
  );

  const titles = await page.left.titles();
  const shared = titles.filter((title) => title.startsWith("Shared"));
  assert.equal(shared.length, 1);
  assert.ok(["Shared, as the left has it", "Shared, as the right has it"].includes(shared[0]), shared[0]);
  const others = ["Left's own, edited", "Right's own, edited", "Added on the left", "Added on the right"];
  assert.deepEqual(titles.filter((title) => !title.startsWith("Shared")).sort(), [...others].sort());
  assert.deepEqual(await page.left.tasks(), await page.right.tasks());
  assert.deepEqual(await page.left.changes(), await page.right.changes());
  const done = (await page.left.tasks()).filter(([, , done]) => done === 1).map(([, title]) => title);
  assert.deepEqual(done, shared, "the tick of one side and the title of the other live in one row");
  assert.deepEqual(page.problems, []);
  await page.close();
});

test("one side is off while the other works on; its words say so", async () => {
  const page = await stage.visit({ user: freshUser() });
  await page.settled();
  await page.right.switch(false);
  await page.right.waitFor((status) => status.state !== "live");
  assert.equal((await page.right.shown()).state, "Offline");
  await page.left.add("While the other sleeps");
  await page.left.waitFor((status) => status.state === "live" && status.pendingChanges === 0);
  assert.deepEqual(await page.right.titles(), []);
  await page.right.switch(true);
  await page.right.waitForTitles(["While the other sleeps"]);
  await page.settled();
  assert.equal((await page.right.shown()).state, "Live");
  assert.deepEqual(page.problems, []);
  await page.close();
});

test("the relay is killed and comes back: everything is there once, and the status never lied", async (t) => {
  const user = freshUser();
  const page = await stage.visit({ user });
  await page.settled();
  for (const title of ["Both know", "Renamed on both", "Deleted on the right"]) await page.left.add(title);
  await page.right.waitForTitles(await page.left.titles());
  await page.settled();
  for (const device of page.devices) await device.record();

  const killedAt = Date.now();
  await stage.relay.kill();
  for (const device of page.devices) await device.waitFor((status) => status.state === "connecting");
  await page.page.getByText("Not reachable").waitFor();

  await page.left.rename("Renamed on both", "Renamed on the left");
  await page.right.rename("Renamed on both", "Renamed on the right");
  await page.right.remove("Deleted on the right");
  for (let index = 0; index < 5; index += 1) {
    await page.left.add(`Left ${index}`);
    await page.right.add(`Right ${index}`);
  }
  await page.left.toggle("Left 0");
  for (const device of page.devices) {
    await device.waitFor((status) => status.pendingChanges > 0);
    await until("the card shows the pending changes", async () => (await device.shown()).pending === (await device.status()).pendingChanges);
    assert.ok((await device.shown()).pending >= 16, "five new rows of three cells, and an edit");
  }

  await page.right.switch(false);
  await page.right.waitFor((status) => status.state === "offline" && status.pendingChanges > 0);
  await page.right.switch(true);
  await page.right.waitFor((status) => status.state === "connecting" && status.retryAt > Date.now());

  const restartedAt = Date.now();
  await stage.relay.start();
  await page.settled();
  t.diagnostic(`from the relay's start to both in step: ${Date.now() - restartedAt} ms`);
  const numbered = [0, 1, 2, 3, 4].flatMap((index) => [`Left ${index}`, `Right ${index}`]);
  await until("both lists to be equal", async () => JSON.stringify(await page.left.titles()) === JSON.stringify(await page.right.titles()));
  const titles = await page.left.titles();
  assert.equal(new Set(titles).size, titles.length, "nothing twice");
  const renamed = titles.filter((title) => title.startsWith("Renamed"));
  assert.equal(renamed.length, 1);
  assert.deepEqual(titles.filter((title) => title !== renamed[0]).sort(), ["Both know", ...numbered].sort());
  assert.deepEqual(await page.left.changes(), await page.right.changes());
  await page.page.getByText("Connected", { exact: true }).waitFor();

  for (const device of page.devices) {
    const down = (await device.recorded()).filter(({ at }) => at > killedAt + 1000 && at < restartedAt);
    assert.ok(down.every(({ state }) => state === "connecting" || state === "offline"), `${device.name}: ${[...new Set(down.map(({ state }) => state))]}`);
    assert.ok(down.every(({ lastSyncedAt }) => lastSyncedAt <= killedAt + 1000), `${device.name} was not in step while there was no relay`);
  }

  const fresh = await stage.visit({ user, device: "fresh" });
  await fresh.device.waitForTitles(titles);
  assert.deepEqual(await fresh.device.changes(), await page.left.changes());
  assert.deepEqual(fresh.problems, []);
  assert.deepEqual(page.problems.filter((problem) => !isRefusal(problem)), []);
  await fresh.close();
  await page.close();
});

test("the relay is killed again and again while both write: nothing is lost, nothing is there twice", async () => {
  const user = freshUser();
  const page = await stage.visit({ user });
  await page.settled();
  const written = [];
  for (let round = 0; round < 3; round += 1) {
    const restart = (async () => {
      await new Promise((resolve) => setTimeout(resolve, 150));
      await stage.relay.kill();
      await new Promise((resolve) => setTimeout(resolve, 400));
      await stage.relay.start();
    })();
    for (let index = 0; index < 8; index += 1) {
      for (const device of page.devices) {
        const title = `${device.name} ${round}.${index}`;
        written.push(title);
        await device.add(title);
      }
    }
    await restart;
    await page.settled();
  }
  await page.left.waitForTitles(written);
  await page.right.waitForTitles(written);
  assert.deepEqual(await page.left.changes(), await page.right.changes());
  const fresh = await stage.visit({ user, device: "fresh" });
  await fresh.device.waitForTitles(written);
  assert.deepEqual(await fresh.device.changes(), await page.left.changes());
  assert.deepEqual(page.problems.filter((problem) => !isRefusal(problem)), []);
  await fresh.close();
  await page.close();
});

test("a relay that takes the connection and says nothing is not called live", async () => {
  const user = freshUser();
  const context = await stage.browser.newContext();
  const first = await stage.visit({ user, device: "slow", context });
  await first.device.add("Known to both");
  await first.settled();
  await first.page.close();
  const other = await stage.visit({ user, device: "other" });
  await other.device.add("Written meanwhile");
  await other.settled();
  await other.close();

  const openedAt = Date.now();
  await context.routeWebSocket(/sync$/, (socket) => {
    const server = socket.connectToServer();
    server.onMessage(() => undefined);
  });
  const page = await stage.visit({ user, device: "slow", context });
  await new Promise((resolve) => setTimeout(resolve, 4000));
  const { state, lastSyncedAt } = await page.device.status();
  await page.close();
  assert.equal(state, "catching-up");
  assert.ok(lastSyncedAt < openedAt, `it has not been in step since: ${lastSyncedAt}, opened at ${openedAt}`);
});

/** What the browser itself prints when nobody listens: no page can keep it from doing so. */
function isRefusal(problem) {
  return /^WebSocket connection to .* failed|net::ERR_CONNECTION_(REFUSED|RESET)|net::ERR_EMPTY_RESPONSE/.test(problem);
}
