// Several tabs of one origin on one database, in a real browser with a real relay: who leads, what all of them hear, and
// how fast another one leads when the leader closes, crashes, freezes, stands still or goes elsewhere.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { BareBrowser } from "./cdp.mjs";
import { freshUser, Stage, until } from "./harness.mjs";
import { buildSite } from "./site.mjs";
import { fillLog } from "./tabs/log.mjs";

/** Nobody leads for longer than this where the leader can say that it goes, or the browser knows. */
const HANDOFF_MS = 3_000;
/** The same where a leader stands still without a word: its followers have to find out. */
const SILENCE_MS = 10_000;
const LEADING = ["connecting", "catching-up", "live"];

let site;
let stage;
/** In which tabs can be frozen. */
let bare;
before(async () => {
  site = await buildSite("tabs", ["index.html", "elsewhere.html"]);
  stage = await Stage.open({ app: site.folder });
  bare = await BareBrowser.launch();
  bare.user = freshUser();
});
after(async () => {
  await bare?.close();
  await stage?.close();
  await site?.remove();
});

/** One page with one device, in a window or (`worker`) in a worker of its own. */
class Tab {
  problems = [];

  static async open(context, options = {}) {
    const tab = new Tab();
    tab.page = await context.newPage();
    tab.page.on("pageerror", (error) => tab.problems.push(error.message));
    tab.address = new URL(stage.relay.url);
    for (const [key, value] of Object.entries({ user: context.user, name: "notes", ...options })) tab.address.searchParams.set(key, value);
    await tab.page.goto(tab.address.href);
    await tab.opened();
    return tab;
  }

  async opened() {
    await this.page.waitForFunction(() => window.call);
    await this.call("status");
  }

  call(method, ...args) {
    return this.page.evaluate(([method, args]) => window.call(method, ...args), [method, args]);
  }

  async becomes(...states) {
    const status = () => this.call("status");
    await until(`a tab to be ${states.join(" or ")}`, async () => states.includes((await status()).state), status);
  }

  /** When it began to lead, after that moment. */
  async ledAfter(at) {
    await this.becomes("live");
    const said = await this.call("heard", "status");
    return said.find((one) => one.at >= at && LEADING.includes(one.value.state)).at - at;
  }

  async liveAfter(at) {
    await this.becomes("live");
    return (await this.call("heard", "status")).find((one) => one.at >= at && one.value.state === "live").at - at;
  }

  async crash() {
    const session = await this.page.context().newCDPSession(this.page);
    session.send("Page.crash").catch(() => {}); // nobody answers
  }

  /** A browser freezes hidden tabs only. */
  async freezeBehind(other) {
    await other.page.show();
    await until("a tab to be hidden", () => this.page.evaluate(() => document.visibilityState === "hidden"));
    await this.page.freeze();
  }

  /** Writes, and waits until the relay has stored it: how long that took from the commit. */
  async stored(id, body) {
    const written = await this.call("write", id, body);
    return (await this.call("synced")) - written;
  }
}

async function profile() {
  const context = await stage.browser.newContext();
  context.user = freshUser();
  context.setDefaultTimeout(30_000);
  return context;
}

/** A leader that is in step, and tabs that follow it. */
async function tabs(context, followers, options = {}) {
  const leader = await Tab.open(context, options);
  await leader.becomes("live");
  const following = [];
  for (let index = 0; index < followers; index += 1) {
    const tab = await Tab.open(context);
    await tab.becomes("standby");
    following.push(tab);
  }
  return [leader, ...following];
}

const leaders = async (all) => {
  const states = await Promise.all(all.map((tab) => tab.call("status").then(({ state }) => state)));
  return states.filter((state) => state !== "standby").length;
};

/** One of them leads, once all have settled; the one, and the others. */
async function elected(all) {
  let states;
  await until("one leader", async () => {
    states = await Promise.all(all.map((tab) => tab.call("status").then(({ state }) => state)));
    return states.filter((state) => state === "live").length === 1 && states.filter((state) => state === "standby").length === all.length - 1;
  }, () => states);
  const leader = all[states.indexOf("live")];
  return [leader, all.filter((tab) => tab !== leader)];
}

test("every tab knows the status and hears what was applied, and what a follower writes is pushed at once", async (t) => {
  const context = await profile();
  const [leader, one, two] = await tabs(context, 2);
  const other = await Tab.open(context, { name: "other" });
  await other.becomes("live");
  const times = [];
  for (let id = 1; id <= 5; id += 1) times.push(Math.round(await one.stored(id, `from a follower ${id}`)));
  t.diagnostic(`a follower's write, committed → stored by the relay: ${times.join(", ")} ms`);
  assert.ok(Math.min(...times) < 500, `${times}`);
  await until("the other device to have them", async () => (await other.call("count")) === 5);
  await other.stored(6, "from another device");
  for (const tab of [leader, one, two]) {
    await until("every tab to hear of it", async () =>
      (await tab.call("heard", "applied")).some(({ value }) => value.source === "remote" && value.tables.notes?.some(([id]) => id === 6)),
    );
    assert.equal(await tab.call("count"), 6);
  }
  for (const tab of [leader, two]) {
    assert.ok((await tab.call("heard", "applied")).some(({ value }) => value.source === "tab" && "notes" in value.tables));
  }
  for (const tab of [one, two]) {
    const status = await tab.call("status");
    assert.deepEqual([status.state, status.reason, status.pendingChanges], ["standby", "live", 0]);
    assert.equal(status.lastSyncedAt, (await leader.call("status")).lastSyncedAt);
  }
  await context.close();
});

test("a follower leads at once when the leader closes, stops, crashes or is reloaded", async (t) => {
  const context = await profile();
  let [leader, ...followers] = await tabs(context, 4);
  const ways = {
    stops: async () => leader.call("stop"),
    closes: async () => leader.page.close({ runBeforeUnload: false }),
    crashes: async () => leader.crash(),
    "is reloaded": async () => leader.page.reload(),
  };
  let id = 0;
  for (const [way, go] of Object.entries(ways)) {
    const at = Date.now();
    await go();
    let rest;
    [leader, rest] = await elected(followers);
    t.diagnostic(`the leader ${way}: another leads after ${Math.round(await leader.ledAfter(at))} ms, is live after ${Math.round(await leader.liveAfter(at))} ms`);
    assert.ok((await leader.liveAfter(at)) < HANDOFF_MS);
    for (const tab of rest) await tab.stored((id += 1), way);
    followers = rest;
  }
  await context.close();
});

test("waits of followers survive a handoff", async () => {
  const context = await profile();
  const [leader, one, two] = await tabs(context, 2);
  stage.relay.freeze();
  await one.call("write", 1, "while the relay is silent");
  const waits = [one, two].map((tab) => tab.call("synced"));
  await new Promise((resolve) => setTimeout(resolve, 200));
  await leader.page.close();
  await until("another leader", async () => (await leaders([one, two])) === 1);
  stage.relay.thaw();
  await Promise.all(waits);
  await elected([one, two]);
  await context.close();
});

test("a frozen leader lets go, and stands for the lead again when it thaws", async (t) => {
  const [leader, follower] = await tabs(bare, 1);
  const at = Date.now();
  await leader.freezeBehind(follower);
  t.diagnostic(`the leader is frozen: another leads after ${Math.round(await follower.ledAfter(at))} ms`);
  assert.ok((await follower.liveAfter(at)) < HANDOFF_MS);
  await follower.stored(1, "while the other is frozen");
  await leader.page.thaw();
  await leader.becomes("standby");
  await until("to know its leader", async () => (await leader.call("status")).reason === "live");
  await leader.stored(2, "after the thaw");
  assert.ok((await leader.call("heard", "applied")).some(({ value }) => value.source === "tab"), "what others wrote meanwhile is heard");
  assert.equal(await follower.call("count"), 2);
  await follower.page.close();
  await leader.becomes("live");
  await leader.page.close();
});

test("a frozen follower does not stand in the way of one that can lead", async (t) => {
  const [leader, frozen, follower] = await tabs(bare, 2);
  const queue = () => follower.page.evaluate(async () => (await navigator.locks.query()).pending.length);
  const before = await queue();
  await frozen.freezeBehind(follower); // first in the queue
  await until("the frozen tab to leave the queue", async () => (await queue()) < before);
  const at = Date.now();
  await leader.page.close();
  t.diagnostic(`another than the first in the queue leads after ${Math.round(await follower.ledAfter(at))} ms`);
  assert.ok((await follower.liveAfter(at)) < HANDOFF_MS);
  await frozen.page.thaw();
  await frozen.becomes("standby");
  await frozen.stored(1, "after the thaw");
  for (const tab of [frozen, follower]) await tab.page.close();
});

test("a leader that stands still without a word is replaced, and knows it when it goes on", async (t) => {
  const context = await profile();
  const [leader, one, two] = await tabs(context, 2);
  const at = Date.now();
  const stillness = leader.call("block", 9_000);
  const [thief, [follower]] = await elected([one, two]);
  t.diagnostic(`the leader stands still: another leads after ${Math.round(await thief.ledAfter(at))} ms`);
  assert.ok((await thief.liveAfter(at)) < SILENCE_MS);
  await follower.stored(1, "while the first leader stands still");
  await stillness;
  await leader.becomes("standby");
  await leader.stored(2, "when it goes on");
  assert.equal((await elected([leader, one, two]))[0], thief);
  for (const tab of [leader, one, two]) assert.deepEqual(await tab.call("heard", "error"), []);
  await context.close();
});

test("a busy leader that answers now and then is left alone", async () => {
  const context = await profile();
  const [leader, follower] = await tabs(context, 1);
  for (let round = 0; round < 4; round += 1) await leader.call("block", 2_000);
  const said = (await follower.call("heard", "status")).map(({ value }) => value.state);
  assert.ok(!said.includes("live"), said.join(" "));
  await context.close();
});

test("a leader that goes to another page lets go; it follows when it comes back", async (t) => {
  const context = await profile();
  const [leader, follower] = await tabs(context, 1);
  const at = Date.now();
  await leader.page.goto(new URL("elsewhere.html", stage.relay.url).href);
  t.diagnostic(`the leader goes elsewhere: another leads after ${Math.round(await follower.ledAfter(at))} ms`);
  assert.ok((await follower.liveAfter(at)) < HANDOFF_MS);
  await follower.stored(1, "while the other is away");
  await leader.page.goBack({ waitUntil: "commit" });
  await leader.opened();
  await leader.becomes("standby");
  t.diagnostic(`with another tab open it comes ${(await leader.page.evaluate(() => window.restored)) ? "out of the back-forward cache" : "anew"}`);
  await leader.stored(2, "back again");
  await follower.page.close();
  await leader.becomes("live");

  await leader.page.goto(new URL("elsewhere.html", stage.relay.url).href);
  await leader.page.goBack({ waitUntil: "commit" });
  await leader.opened();
  await leader.becomes("live");
  t.diagnostic(`alone it comes ${(await leader.page.evaluate(() => window.restored)) ? "out of the back-forward cache" : "anew"}`);
  await leader.stored(3, "alone");
  await context.close();
});

test("a follower goes on with a long catch-up where a leader that crashed has left it", async (t) => {
  const rows = 12_000;
  const context = await profile();
  await fillLog(stage.relay.url, context.user, rows);
  const leader = await Tab.open(context, { start: "no" });
  const follower = await Tab.open(context, { start: "no" });
  await leader.call("start");
  await follower.call("start");
  await until("a third of it", async () => (await follower.call("status")).progress.received > rows / 3);
  await leader.crash();
  await follower.becomes("connecting", "catching-up", "live");
  const there = await follower.call("count");
  await follower.becomes("live");
  const { progress } = await follower.call("status");
  t.diagnostic(`${there} of ${rows} rows were there; received ${progress.received} more`);
  assert.ok(there > 0 && progress.received <= rows - there + 5_000, `${there}, then ${progress.received}`);
  assert.equal(await follower.call("count"), rows);
  assert.deepEqual(await follower.call("heard", "error"), []);
  await context.close();
});

test("a leader that is frozen in the middle of a transaction ends it when it thaws, and nothing is lost", async () => {
  const rows = 12_000;
  bare.user = freshUser();
  await fillLog(stage.relay.url, bare.user, rows);
  const leader = await Tab.open(bare, { start: "no", name: "thawed" });
  const follower = await Tab.open(bare, { start: "no", name: "thawed" });
  await follower.page.show();
  await leader.call("start");
  await follower.call("start");
  await until("the first rows", async () => (await follower.call("status")).progress.received > 0);
  await leader.page.freeze();
  await until("the follower to take part", () => follower.call("status").then(({ state }) => LEADING.includes(state)));
  await new Promise((resolve) => setTimeout(resolve, 2_000)); // with or without the database
  await leader.page.thaw();
  const [, [standing]] = await elected([leader, follower]);
  await standing.stored(rows + 1, "afterwards");
  for (const tab of [leader, follower]) {
    assert.equal(await tab.call("count"), rows + 1);
    assert.deepEqual(await tab.call("heard", "error"), []);
    await tab.page.close();
  }
});

test("a client in a worker takes its turn among clients in windows", async (t) => {
  const context = await profile();
  const [worker, window] = await tabs(context, 1, { worker: "" });
  await window.stored(1, "from a window, through a worker");
  await worker.stored(2, "from the worker");
  assert.equal(await window.call("count"), 2);
  let at = Date.now();
  await worker.page.close();
  t.diagnostic(`the page of the worker closes: a window leads after ${Math.round(await window.ledAfter(at))} ms`);
  const second = await Tab.open(context, { worker: "" });
  await second.becomes("standby");
  await second.stored(3, "from a worker, through a window");
  at = Date.now();
  await window.call("stop");
  t.diagnostic(`the window stops: a worker leads after ${Math.round(await second.ledAfter(at))} ms`);
  await second.stored(4, "from a worker");
  // A worker hears nothing of its page's freezing.
  const third = await Tab.open(context);
  await third.becomes("standby");
  at = Date.now();
  const stillness = second.call("block", 9_000);
  t.diagnostic(`the worker stands still: a window leads after ${Math.round(await third.ledAfter(at))} ms`);
  assert.ok((await third.liveAfter(at)) < SILENCE_MS);
  await stillness;
  await second.becomes("standby");
  await second.stored(5, "from a worker that was replaced");
  await context.close();
});

test("in no order of starting, stopping, writing and holding the database does anybody wait for ever", async (t) => {
  const context = await profile();
  const a = await Tab.open(context, { start: "no" });
  const b = await Tab.open(context, { start: "no" });
  const other = await Tab.open(context, { name: "other" });
  await other.becomes("live");
  let id = 0;
  const steps = {
    /** A long transaction of the app in one tab, over the step after it. */
    hold: () => b.call("hold", (id += 1), "held"),
    startA: () => a.call("start"),
    startB: () => b.call("start"),
    write: () => Promise.all([a, other].map((tab) => tab.call("write", (id += 1), "from a tab and from another device"))),
  };
  let orders = 0;
  for (const order of permutations(Object.keys(steps))) {
    // What must wait for the held transaction is not awaited before it ends.
    const begun = [];
    for (const step of order) {
      begun.push(steps[step]());
      if (step === "hold") await begun.at(-1);
    }
    const [first, last] = orders % 2 ? [a, b] : [b, a];
    const stopping = orders % 3 === 0 ? [first.call("stop")] : [];
    await b.call("release", orders % 4 === 3 ? "ROLLBACK" : "COMMIT");
    await Promise.all([...begun, ...stopping]);
    if (stopping.length > 0) await first.call("start");
    await elected([a, b]);
    await Promise.all([last.call("synced"), first.call("synced"), other.call("synced")]);
    await Promise.all([a.call("stop"), b.call("stop")]);
    orders += 1;
  }
  t.diagnostic(`${orders} orders`);
  await Promise.all([a.call("start"), b.call("start")]);
  await until("all to be equal", async () => {
    const rows = await Promise.all([a, b, other].map((tab) => tab.call("rows")));
    return rows.every((seen) => JSON.stringify(seen) === JSON.stringify(rows[0]));
  });
  await context.close();
});

function permutations(items) {
  if (items.length === 0) return [[]];
  return items.flatMap((item) => permutations(items.filter((other) => other !== item)).map((rest) => [item, ...rest]));
}
