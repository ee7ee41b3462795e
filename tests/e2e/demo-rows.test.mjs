// Thousands of rows in the demo: written, sent, received, scrolled through and deleted, with a page that can be used.
// DEMO_ROWS makes them as many as people get by its button.

import assert from "node:assert/strict";
import { test } from "node:test";
import { mainThreadTasks } from "./trace.mjs";
import { freshUser, Stage, until } from "./harness.mjs";

const ROWS = Number(process.env.DEMO_ROWS ?? 2_000);
/** No task of the page may work for longer, in the time of its thread: a machine that others use as well is no excuse. */
const LONGEST_TASK_MS = 100;
/** The list holds a window of the rows. */
const MOST_HELD = 100;
const PATIENCE_MS = 120_000;

test("thousands of rows come and go on both sides, with progress, and the page can be used all the while", async (t) => {
  const stage = await Stage.open();
  t.after(() => stage.close());
  const page = await stage.visit({ user: freshUser(), rows: ROWS });
  const { left, right } = page;
  await left.add("Typed before");
  await page.settled();
  for (const device of page.devices) await device.card.locator(".work").evaluate(record);

  await stage.browser.startTracing(page.page, { categories: ["-*", "toplevel", "__metadata"] });
  const began = Date.now();
  await left.card.getByRole("button", { name: `Fill with ${number(ROWS)}` }).click();
  const shown = (device) => device.card.locator('[data-ref="count"]').textContent();
  await until("both sides to have them", async () => (await shown(left)) === `${number(ROWS + 1)} tasks, ${number(ROWS + 1)} open` && (await shown(right)) === (await shown(left)), () => shown(right), PATIENCE_MS);
  await page.settled();
  const tasks = mainThreadTasks(await stage.browser.stopTracing());
  t.diagnostic(`${ROWS} rows on both sides after ${Date.now() - began} ms; longest tasks ${tasks.slice(0, 5).join(", ")} ms of the thread's time`);
  assert.ok(tasks.length > 100, "the trace has the tasks of the page");
  assert.ok(tasks[0] <= LONGEST_TASK_MS, `a task of ${tasks[0]} ms`);
  const [leftSaid, rightSaid] = await Promise.all(page.devices.map((device) => device.card.locator(".work").evaluate((work) => work.said)));
  assert.ok(leftSaid.includes(`1,000 of ${number(ROWS)} rows written`), leftSaid.join("; "));
  assert.ok(leftSaid.some((words) => /changes to send$/.test(words)), leftSaid.join("; "));
  assert.ok(rightSaid.some((words) => /changes (have come|to come)$/.test(words)), rightSaid.join("; "));

  assert.equal((await left.titles())[0], "Typed before");
  const view = left.card.locator(".tasks-view");
  await view.evaluate((element) => (element.scrollTop = element.scrollHeight / 2));
  await until("the middle of the list", async () => (await left.titles()).some((title) => title.endsWith(`no. ${number(ROWS / 2)}`)));
  assert.ok((await left.titles()).length <= MOST_HELD, "rows out of sight are not there");
  await view.evaluate((element) => (element.scrollTop = element.scrollHeight));
  await left.card.getByLabel(`Done: Return the books, no. ${number(ROWS)}`).waitFor();

  await right.card.getByRole("button", { name: "Clear" }).click();
  await page.page.getByRole("dialog").getByRole("button", { name: "Delete all" }).click();
  await until("both lists to be empty", async () => (await shown(left)) === "" && (await shown(right)) === "", () => shown(left), PATIENCE_MS);
  await left.add("Typed afterwards");
  await right.waitForTitles(["Typed afterwards"]);
  assert.deepEqual(page.problems, []);
});

const number = (value) => value.toLocaleString("en");

/** Runs in the page: keeps what the line of progress says. */
function record(work) {
  work.said = [];
  new MutationObserver(() => work.hidden || work.said.push(work.innerText.trim())).observe(work, { subtree: true, childList: true, characterData: true });
}
