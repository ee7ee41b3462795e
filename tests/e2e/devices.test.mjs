// Devices that are all online: what one writes is on the others at once, and nowhere else.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { freshUser, Stage } from "./harness.mjs";

/** "Within a blink". The client's own budget is far below; this is a page, two databases and a relay on a busy machine. */
const BLINK_MS = 1000;

let stage;
before(async () => {
  stage = await Stage.open();
});
after(() => stage?.close());

test("what is typed on the left appears on the right within a blink", async (t) => {
  const page = await stage.visit({ user: freshUser() });
  await page.settled();
  const times = [];
  for (const title of ["First", "Second", "Third", "Fourth", "Fifth"]) {
    const seen = timeToAppear(page, "left", "right", title);
    await page.left.add(title);
    times.push(await seen);
  }
  t.diagnostic(`Enter on the left to painted list on the right: ${times.map((ms) => ms.toFixed(1)).join(", ")} ms`);
  // The middle one: other tests have the processor at the same time, and any of the five may have had to wait for it.
  const [, , middle] = times.toSorted((a, b) => a - b);
  assert.ok(middle < BLINK_MS, `${middle} ms`);
  await page.right.waitForTitles(["First", "Second", "Third", "Fourth", "Fifth"]);
  await page.settled();
  assert.deepEqual(page.problems, []);
  await page.close();
});

test("a third device of the account takes part, another account sees nothing", async () => {
  const user = freshUser();
  const [both, third, stranger] = await Promise.all([
    stage.visit({ user }),
    stage.visit({ user, device: "third" }),
    stage.visit({ user: freshUser(), device: "third" }),
  ]);
  await Promise.all([both, third, stranger].map((page) => page.settled()));

  await both.left.add("From the left");
  await third.device.waitForTitles(["From the left"]);
  await third.device.add("From the third");
  await both.left.waitForTitles(["From the left", "From the third"]);
  await both.right.waitForTitles(["From the left", "From the third"]);
  await both.right.toggle("From the third");
  await third.page.waitForFunction(() => document.querySelectorAll('.task[data-done="true"]').length === 1);
  await third.device.remove("From the left");
  await both.left.waitForTitles(["From the third"]);
  await both.right.waitForTitles(["From the third"]);

  await Promise.all([both, third].map((page) => page.settled()));
  const expected = await both.left.changes();
  assert.deepEqual(await both.right.changes(), expected);
  assert.deepEqual(await third.device.changes(), expected);
  assert.deepEqual(await stranger.device.titles(), []);
  assert.deepEqual(await stranger.device.changes(), []);
  for (const page of [both, third, stranger]) {
    assert.deepEqual(page.problems, []);
    await page.close();
  }
});

test("a device that was away gets from the relay what another wrote before it left", async () => {
  const user = freshUser();
  const away = await stage.visit({ user, device: "away" });
  await away.settled();
  await away.device.add("Written before");
  await away.settled();
  await away.device.switch(false);

  const writer = await stage.visit({ user, device: "writer" });
  await writer.device.waitForTitles(["Written before"]);
  for (const title of ["One", "Two", "Three"]) await writer.device.add(title);
  await writer.device.rename("Written before", "Renamed while away");
  await writer.device.remove("Two");
  await writer.settled();
  const expected = await writer.device.changes();
  await writer.close();

  assert.deepEqual(await away.device.titles(), ["Written before"]);
  await away.device.switch(true);
  await away.device.waitForTitles(["Renamed while away", "One", "Three"]);
  await away.settled();
  assert.deepEqual(await away.device.changes(), expected);

  const fresh = await stage.visit({ user, device: "fresh" });
  await fresh.device.waitForTitles(["Renamed while away", "One", "Three"]);
  assert.deepEqual(await fresh.device.changes(), expected);
  for (const page of [away, fresh]) {
    assert.deepEqual(page.problems, []);
    await page.close();
  }
});

test("what waitForSynced promised is on the relay, even if the device is gone the next moment", async () => {
  for (let round = 0; round < 3; round += 1) {
    const user = freshUser();
    const writer = await stage.visit({ user, device: "writer" });
    await writer.page.evaluate(async () => {
      const { writer } = window.demo.devices;
      await writer.db.exec("INSERT INTO tasks (id, title) VALUES ('a', 'Promised')");
      await writer.client.waitForSynced({ level: "stored" });
    });
    await writer.close();
    const reader = await stage.visit({ user, device: "reader" });
    await reader.device.waitForTitles(["Promised"]);
    assert.deepEqual([...writer.problems, ...reader.problems], []);
    await reader.close();
  }
});

test("a reload keeps the list and the connection comes back", async () => {
  const page = await stage.visit({ user: freshUser() });
  await page.settled();
  await page.left.add("Kept");
  await page.right.waitForTitles(["Kept"]);
  await page.settled();
  const before = await page.left.changes();
  const synced = (await page.left.status()).lastSyncedAt;
  await page.reload();
  await page.left.waitForTitles(["Kept"]);
  await page.settled();
  assert.deepEqual(await page.left.changes(), before);
  assert.deepEqual(await page.right.changes(), before);
  assert.ok((await page.left.status()).lastSyncedAt >= synced, "lastSyncedAt survives");
  await page.right.add("And goes on");
  await page.left.waitForTitles(["Kept", "And goes on"]);
  assert.deepEqual(page.problems, []);
  await page.close();
});

test("two tabs of one device share its database: one leads, the other takes over", async () => {
  const user = freshUser();
  const first = await stage.visit({ user, device: "desk" });
  await first.settled();
  const second = await stage.visit({ user, device: "desk", context: first.context });
  await second.device.waitFor((status) => status.state === "standby");

  await second.device.add("Written in the tab that waits");
  await first.device.waitForTitles(["Written in the tab that waits"]);
  await first.settled();
  await first.device.add("Written in the tab that leads");
  await second.device.waitForTitles(["Written in the tab that waits", "Written in the tab that leads"]);

  await first.page.close();
  await second.settled();
  const other = await stage.visit({ user, device: "other" });
  await other.device.waitForTitles(["Written in the tab that waits", "Written in the tab that leads"]);
  await second.device.add("After the change of lead");
  await other.device.waitForTitles(["Written in the tab that waits", "Written in the tab that leads", "After the change of lead"]);
  for (const page of [first, second, other]) assert.deepEqual(page.problems, []);
  await other.close();
  await second.close();
});

/** Milliseconds, on the page's own clock, from the form's submit on one side to the row in the list of the other. */
function timeToAppear(visit, from, to, title) {
  return visit.page.evaluate(
    ({ from, to, title }) =>
      new Promise((resolve) => {
        let start = Number.NaN;
        const submitted = () => (start = performance.now());
        document.querySelector(`[data-device="${from}"] form`).addEventListener("submit", submitted, { once: true, capture: true });
        const list = document.querySelector(`[data-device="${to}"] .tasks`);
        const observer = new MutationObserver(() => {
          if (![...list.querySelectorAll(".task-title")].some((field) => field.value === title)) return;
          observer.disconnect();
          resolve(performance.now() - start);
        });
        observer.observe(list, { childList: true, subtree: true });
      }),
    { from, to, title },
  );
}
