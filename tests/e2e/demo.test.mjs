// The demo as people use it: merging, the bad links, other accounts, the inspector, long lists. What it shows is compared
// with what the client and the database say.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { freshUser, Stage, until } from "./harness.mjs";

let stage;
before(async () => {
  stage = await Stage.open();
});
after(() => stage?.close());

/** A page with both sides, in step. */
async function pair(options) {
  const user = freshUser();
  const page = await stage.visit({ user, ...options });
  await page.settled();
  return { page, user, left: page.left, right: page.right };
}

const details = async (device, title) => {
  await device.card.getByRole("button", { name: `Details: ${title}` }).click();
  return device.card.locator(".task-more");
};
const columns = async (device) => {
  const sql = "SELECT title, priority, notes FROM tasks ORDER BY id";
  return device.page.evaluate(([name, sql]) => window.demo.devices[name].db.execA(sql), [device.name, sql]);
};

test("edits of different columns of one row merge, and the row says who wrote what", async () => {
  const { page, left, right } = await pair();
  await left.add("Plan the trip");
  await right.waitForTitles(["Plan the trip"]);
  for (const device of [left, right]) await device.switch(false);
  await left.rename("Plan the trip", "Plan the trip to Lisbon");
  const more = await details(right, "Plan the trip");
  await more.getByLabel("High").check();
  await more.getByLabel("Notes").fill("By night train");
  await more.getByLabel("Notes").blur();
  for (const device of [left, right]) await device.switch(true);
  await page.settled();

  const merged = [["Plan the trip to Lisbon", 2, "By night train"]];
  for (const device of [left, right]) {
    await until(`${device.name} to have both edits`, async () => JSON.stringify(await columns(device)) === JSON.stringify(merged));
  }
  await details(left, "Plan the trip to Lisbon");
  for (const device of [left, right]) {
    const provenance = device.card.locator(".provenance");
    const expected = "title, done by left device priority, notes by right device";
    await until(`${device.name} to say who wrote what`, async () => words(await provenance.innerText()) === expected, () => provenance.innerText());
    assert.equal(await device.card.locator(".task-marks").getAttribute("aria-label"), "Written by left device and right device");
  }
  assert.deepEqual(page.problems, []);
  await page.close();
});

test("the story of a merge plays by itself and ends with one row of both edits", async () => {
  const { page, left, right } = await pair();
  await page.page.clock.install(); // its pauses are for people
  await page.page.getByRole("button", { name: "Show me a merge" }).click();
  const said = page.page.locator("#story-words");
  await until(
    "the last sentence",
    async () => {
      await page.page.clock.runFor(500);
      return (await said.textContent()).startsWith("One row, both edits.");
    },
    () => said.textContent(),
  );
  for (const device of [left, right]) {
    assert.deepEqual(await columns(device), [["Plan the trip to Lisbon", 2, "The night train, if there is one."]]);
  }
  await page.close();
});

test("a slow link takes its time, a silent one is found out, a broken one is made again", async () => {
  const { page, left, right } = await pair({ heartbeat: 700 });
  await left.card.getByLabel("Slow").check();
  await left.add("On a slow link");
  await left.stored();
  assert.ok((await left.status()).roundTripMs >= 1500, "750 ms each way");
  await right.waitForTitles(["On a slow link"]);
  await left.card.getByLabel("Good").check();
  await left.waitFor(({ state }) => state === "live");

  await left.card.getByLabel("Silent").check();
  await left.add("Into the void");
  await left.waitFor(({ state, pendingChanges }) => state !== "live" && pendingChanges > 0);
  assert.deepEqual(await right.titles(), ["On a slow link"]);
  await left.card.getByLabel("Good").check();
  await right.waitForTitles(["On a slow link", "Into the void"]);
  await page.settled();

  await left.record();
  await left.card.getByRole("button", { name: "Break link" }).click();
  await until("the link to be made again", async () => {
    const states = (await left.recorded()).map(({ state }) => state);
    return states.includes("connecting") && states.at(-1) === "live";
  }, () => left.recorded());
  assert.deepEqual(page.problems, []);
  await page.close();
});

test("another user’s token stops the devices, and each way out leads out", async () => {
  const { page, user, left, right } = await pair();
  await left.add("Ours");
  await right.waitForTitles(["Ours"]);
  await page.settled();
  const asAnother = async () => {
    await page.page.getByRole("button", { name: /^Account/ }).click();
    await page.page.getByRole("button", { name: /^Sign in as home, keep/ }).click();
    for (const device of [left, right]) await device.waitFor(({ state, reason }) => state === "failed" && reason === "account-changed");
    assert.match(await left.card.locator(".problem").innerText(), new RegExp(`account-changed: .* synced as “${user}”, .* “home”`));
  };
  const going = async () => {
    for (const device of [left, right]) await device.waitFor(({ state }) => state === "live");
    await page.settled();
  };
  await asAnother();
  await left.add("Written meanwhile");
  await left.card.getByRole("button", { name: `Sign in as ${user} again` }).click();
  await going();
  await right.waitForTitles(["Ours", "Written meanwhile"]);
  assert.equal(await page.page.locator(".problem").count(), 0);

  await asAnother();
  for (const device of [left, right]) await device.card.getByRole("button", { name: "Merge them into home’s" }).click();
  await going();
  const other = await stage.visit({ user: "home", device: "theirs" });
  await until("home to have them", async () => (await other.device.titles()).includes("Ours"));
  assert.deepEqual([...page.problems, ...other.problems], []);
  await other.close();
  await page.close();
});

test("what does not fit a device is said, and goes in when its schema does", async () => {
  const { page, left, right } = await pair();
  await left.add("With a colour");
  await right.waitForTitles(["With a colour"]);
  const migrate = async (device) => {
    await device.exec("SELECT crsql_begin_alter('tasks')");
    await device.exec("ALTER TABLE tasks ADD COLUMN colour TEXT");
    await device.exec("SELECT crsql_commit_alter('tasks')");
  };
  await migrate(left);
  await left.exec("UPDATE tasks SET colour = 'green'");
  const problem = right.card.locator(".problem");
  await problem.getByText("1 cell from elsewhere did not fit here and is kept aside. unknown-column").waitFor();
  await right.card.getByRole("tab", { name: "Cursors" }).click();
  await right.card.getByRole("cell", { name: "unknown-column" }).waitFor();

  await migrate(right);
  await problem.getByRole("button", { name: "Try again" }).click();
  await problem.waitFor({ state: "detached" });
  assert.deepEqual(await right.page.evaluate(() => window.demo.devices.right.db.execA("SELECT colour FROM tasks")), [["green"]]);
  await page.close();
});

test("the inspector shows the messages of both protocols, decoded, and stands still when told to", async () => {
  const { page, left, right } = await pair();
  await left.add("Seen on its way");
  await right.waitForTitles(["Seen on its way"]);
  const message = right.card.locator(".message", { hasText: "changes, 5 cells" });
  await message.click();
  const decoded = JSON.parse(await message.locator(".json").textContent());
  assert.equal(decoded.type, "sync_push");
  assert.ok(decoded.payload.changes.some(({ cid, val }) => cid === "title" && val === "Seen on its way"));

  await right.card.getByLabel("Protocol").selectOption("push-pull");
  await right.waitFor(({ state }) => state === "live");
  await right.add("Said in records");
  await right.card.locator(".message", { hasText: "push, 5 cells" }).first().waitFor();
  await left.waitForTitles(["Seen on its way", "Said in records"]);

  await left.card.getByRole("button", { name: "Pause" }).click();
  const lines = await left.card.locator(".message").count();
  await left.add("Not shown");
  await left.stored();
  assert.equal(await left.card.locator(".message").count(), lines);
  await left.card.getByRole("button", { name: "Pause" }).click();
  assert.ok((await left.card.locator(".message").count()) > lines, "nothing was missed");

  await left.card.getByRole("tab", { name: "Rows" }).click();
  await left.card.getByRole("cell", { name: "Not shown" }).waitFor();
  await left.card.getByRole("tab", { name: "Changes" }).click();
  await left.card.getByRole("columnheader", { name: "col_version" }).waitFor();
  assert.equal(await left.card.locator(".rows tbody tr").first().locator("td").nth(4).textContent(), String(await newest(left)));
  assert.deepEqual(page.problems, []);
  await page.close();
});

test("a database that does not open any more gives way to a new one", async () => {
  const user = freshUser();
  const whole = await stage.visit({ user, device: "desk" });
  await whole.device.add("On the relay");
  await whole.settled();
  const page = await whole.context.newPage();
  await whole.page.close();
  await page.goto(new URL("favicon.svg", stage.relay.url).href); // of the same origin, and without the app
  assert.ok((await page.evaluate(damage, `/tasks-${user}-desk`)) > 0, "something was damaged");

  await page.goto(whole.address);
  await page.getByText("Its database did not open:").waitFor();
  await page.getByRole("button", { name: "Start with a new database" }).click();
  await page.getByLabel("Done: On the relay").waitFor();
  await whole.context.close();
});

test("the next device is one that no window has open", async () => {
  const { page, user } = await pair();
  const link = page.page.getByRole("link", { name: "Open another device" });
  const next = async () => {
    await link.hover();
    return new URL(await link.getAttribute("href")).searchParams.get("device");
  };
  await until("the third", async () => (await next()) === "third");
  const third = await stage.visit({ user, device: "third", context: page.context });
  await page.page.mouse.move(0, 0);
  await until("the fourth", async () => (await next()) === "fourth", next);
  assert.match(await third.device.card.getByRole("heading").innerText(), /Third device/);
  await page.close();
});

test("colours are the system’s until somebody chooses, and the choice stays", async () => {
  const { page } = await pair();
  const background = () => page.page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await background();
  await page.page.emulateMedia({ colorScheme: "dark" });
  const dark = await background();
  assert.notEqual(dark, light);
  await page.page.getByRole("radio", { name: "Light" }).check();
  assert.equal(await background(), light);
  await page.reload();
  assert.equal(await background(), light);
  await page.page.getByRole("radio", { name: "As the system" }).check();
  assert.equal(await background(), dark);
  await page.close();
});

/** Runs in the page: writes over every block of a database file; returns how many there were. */
async function damage(file) {
  const done = (request) => new Promise((resolve, reject) => Object.assign(request, { onsuccess: () => resolve(request.result), onerror: () => reject(request.error) }));
  let count = 0;
  for (const { name } of await indexedDB.databases()) {
    const database = await done(indexedDB.open(name));
    for (const storeName of database.objectStoreNames) {
      const store = database.transaction(storeName, "readwrite").objectStore(storeName);
      for (const block of await done(store.getAll())) {
        if (block.path !== file || !block.data) continue;
        await done(store.put({ ...block, data: new Int8Array(block.data.byteLength).fill(7) }));
        count += 1;
      }
    }
    database.close();
  }
  return count;
}

const words = (text) => text.replace(/\s+/g, " ").trim();
const newest = (device) =>
  device.page.evaluate(async (name) => Number((await window.demo.devices[name].db.execA("SELECT max(db_version) FROM crsql_changes"))[0][0]), device.name);
