// Who cannot see, cannot point, or has chosen other colours: the demo under axe's rules in each of its states, and used by
// the keyboard alone.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { freshUser, Stage, until } from "./harness.mjs";

const DESKTOP = { width: 1280, height: 900 };
const PHONE = { width: 390, height: 844 };

let axe;
let stage;
before(async () => {
  axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
  stage = await Stage.open();
});
after(() => stage?.close());

for (const [colorScheme, size] of [["light", DESKTOP], ["dark", PHONE]]) {
  test(`nothing stands in anybody’s way, ${colorScheme}, ${size.width} pixels wide`, async () => {
    const page = await stage.visit({ user: freshUser() });
    const { left, right } = page;
    // Colours are judged where they have come to rest.
    await page.page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await page.page.setViewportSize(size);
    await page.settled();
    const found = { empty: await violations(page.page, axe) };

    await left.add("Done and noted");
    await left.add("Opened");
    await left.toggle("Done and noted");
    await left.exec("UPDATE tasks SET priority = 2, notes = 'By night train'");
    await right.waitForTitles(["Done and noted", "Opened"]);
    await right.card.getByRole("button", { name: "Details: Opened" }).click();
    for (const [device, tab] of [[left, "Rows"], [right, "Cursors"]]) {
      const inspector = device.card.locator(".inspector");
      if (!(await inspector.evaluate(({ open }) => open))) await inspector.locator("summary").first().click();
      await device.card.getByRole("tab", { name: tab }).click();
    }
    await left.card.getByRole("cell", { name: "Opened" }).waitFor();
    found.inspected = await violations(page.page, axe);

    await page.page.getByRole("button", { name: /^Account/ }).click();
    found.menu = await violations(page.page, axe);
    await page.page.getByRole("button", { name: /^Sign in as home, keep/ }).click();
    await left.card.locator(".problem").waitFor();
    await right.switch(false);
    await left.card.getByRole("tab", { name: "Messages" }).click();
    found.stopped = await violations(page.page, axe);
    await left.card.getByRole("button", { name: "Clear" }).click();
    found.asked = await violations(page.page, axe);

    assert.deepEqual(found, { empty: [], inspected: [], menu: [], stopped: [], asked: [] });
    const overflow = await page.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(overflow <= 0, `the page is ${overflow} pixels too wide`);
    await page.close();
  });
}

test("everything can be done by the keyboard, and the focus is never lost", async () => {
  const page = await stage.visit({ user: freshUser(), device: "keys" });
  const { device } = page;
  const { keyboard } = page.page;
  const focused = () => page.page.evaluate(() => document.activeElement.ariaLabel || document.activeElement.labels?.[0]?.innerText || document.activeElement.innerText);
  await page.settled();

  await keyboard.press("Tab");
  assert.equal(await focused(), "To the devices");
  await keyboard.press("Enter");
  await tabTo("New task on keys device");
  for (const title of ["One", "Two"]) await keyboard.type(`${title}\n`);
  await device.waitForTitles(["Two", "One"]);
  await tabTo("Done: Two");
  await keyboard.press("Space");
  await keyboard.press("Tab");
  await keyboard.type("Two, renamed\n");
  await until("the tick and the new title", async () => (await device.tasks()).some(([, title, done]) => title === "Two, renamed" && done === 1));
  await tabTo("Details: Two, renamed");
  await keyboard.press("Enter");
  await tabTo("Delete: Two, renamed");
  await keyboard.press("Enter");
  await device.waitForTitles(["One"]);
  assert.equal(await focused(), "Delete: One", "the focus goes to the next row");
  await keyboard.press("Enter");
  await until("an empty list", async () => (await device.titles()).length === 0);
  assert.equal(await focused(), "New task on keys device");

  await tabTo("Messages");
  await keyboard.press("ArrowRight");
  assert.equal(await focused(), "Rows");
  assert.equal(await device.card.getByRole("tab", { selected: true }).innerText(), "Rows");
  await page.close();

  async function tabTo(name) {
    for (let steps = 0; (await focused()) !== name; steps += 1) {
      assert.ok(steps < 40, `no way to "${name}" from here; now at "${await focused()}"`);
      await keyboard.press("Tab");
    }
  }
});

/** What axe has to say: each rule with the elements that break it. */
async function violations(page, axe) {
  await page.evaluate(axe);
  return page.evaluate(async () => {
    const { violations } = await window.axe.run(document, { resultTypes: ["violations"] });
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target.join(" ")).join(", ")}`);
  });
}
