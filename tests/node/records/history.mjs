// A random history of an app's own records on a real relay: devices write offline, push what they have in any portions, pull
// in pages of any size, and every answer is what the model says. Used by `push-pull-records.test.mjs`.
import assert from "node:assert/strict";
import { Dice } from "../../worlds/dice.mjs";
import { App } from "./app.mjs";
import { Model, name, shown } from "./model.mjs";

const COLLECTIONS = ["todos", "notes", "täg, \"s"];
const RECORD_IDS = [7, "7", "a", -1.5];
const FIELDS = { title: ["x", "y", "", null], done: [true, false], n: [1, 2, 2 ** 40], tags: [[], ["a", { b: 1 }]] };
const WAYS = ["POST", "GET", "socket"];

const pick = (dice, list) => list[dice.below(list.length)];

/** Plays the history of a seed; tells what has happened in it. */
export async function play(seed, relay) {
  const history = new History(seed, relay);
  try {
    await history.begin();
    await history.live();
    await history.judge();
    return history.seen;
  } finally {
    for (const app of history.apps) app.close();
  }
}

class History {
  seen = { accepted: 0, again: 0, conflicts: 0, fields: 0, deleted: 0, pages: 0, filtered: 0, news: 0 };
  apps = [];
  #written = 0;
  #pushed = [];
  #expectedNews = new Map();

  constructor(seed, relay) {
    Object.assign(this, { dice: new Dice(seed), relay, user: `app-${seed}`, model: new Model() });
  }

  async begin() {
    for (let n = this.dice.range(2, 3); n > 0; n--) await this.#add(pick(this.dice, WAYS), this.dice.chance(30) ? this.#some() : undefined);
  }

  #some() {
    return COLLECTIONS.filter(() => this.dice.chance(50)).concat("nobody's").slice(0, 2);
  }

  async #add(way, collections) {
    const app = await App.open(this.relay, this.user, way, collections);
    this.apps.push(app);
    this.#expectedNews.set(app, []);
    return app;
  }

  async live() {
    const { dice, apps } = this;
    for (let steps = dice.range(15, 50); steps > 0; steps--) {
      const app = pick(dice, apps);
      const roll = dice.below(100);
      if (roll < 50) this.#write(app);
      else if (roll < 75) await this.#push(app);
      else if (roll < 95) await this.#pull(app, dice.range(1, 3));
      else await this.#otherFilter(app);
    }
  }

  #write(app) {
    const { dice } = this;
    // Some things are written about more often.
    const often = (list) => list[dice.below(dice.below(list.length) + 1)];
    const about = { collection: often(app.collections ?? COLLECTIONS), recordId: often(RECORD_IDS) };
    const before = app.records.get(name(about))?.data ?? null;
    const type = before && dice.chance(40) ? "delete" : before ? "update" : "create";
    const drawn = Object.fromEntries(Object.entries(FIELDS).filter(() => dice.chance(50)).map(([field, values]) => [field, pick(dice, values)]));
    // Some apps send along what was deleted, and some say nothing of what was there before.
    const data = type === "delete" && dice.chance(50) ? null : { ...before, ...drawn };
    const prevData = dice.chance(70) ? before : null;
    const timestamp = this.#moment();
    const id = `${dice.below(1000)}-${(this.#written += 1)}`;
    app.write({ id, ...about, type, data, prevData, timestamp, status: "pending", retries: 0, errorMessage: null, createdAt: timestamp, updatedAt: timestamp });
  }

  /** Clocks of devices are wrong, and write the same moment in different ways. */
  #moment() {
    const at = Date.UTC(2026, 0, 1) + this.dice.below(12) * 500;
    const roll = this.dice.below(3);
    if (roll === 0) return new Date(at + 7_200_000).toISOString().replace("Z", "+02:00");
    return roll === 1 && at % 1000 === 0 ? new Date(at).toISOString().replace(".000", "") : new Date(at).toISOString();
  }

  async #push(app) {
    const { dice, model } = this;
    const batch = app.queue.slice(0, dice.range(1, 6));
    // An answer was lost, long ago or in between: it is sent again, or twice at once.
    if (this.#pushed.length > 0 && dice.chance(30)) batch.splice(dice.below(batch.length + 1), 0, pick(dice, this.#pushed));
    if (batch.length > 0 && dice.chance(10)) batch.push(batch[0]);
    const result = await app.push(batch);
    const times = new Map(result.accepted.map(({ id, serverTimestamp }) => [id, serverTimestamp]));
    this.seen.again += batch.filter(({ id }) => model.accepted.has(id)).length;
    const { result: expected, fresh } = model.push(batch, times);
    assert.deepEqual(result, expected);
    for (const { serverTimestamp } of result.accepted) assert.equal(new Date(serverTimestamp).toISOString(), serverTimestamp);
    this.#pushed.push(...batch);
    for (const [other, news] of this.#expectedNews) if (other !== app && other.way === "socket") news.push(...fresh);
    this.seen.accepted += fresh.length;
    this.seen.conflicts += result.conflicts.length;
    this.seen.fields += result.conflicts.filter(({ fieldConflicts, local, remote }) => local && remote && fieldConflicts.length < new Set([...Object.keys(local), ...Object.keys(remote)]).size).length;
    app.settle(result);
    // What a device has lost a conflict about, it pulls anew: the winner may lie before its cursor.
    if (result.conflicts.length > 0) app.cursor = undefined;
  }

  /** At most so many pages; true if there is more. */
  async #pull(app, pages) {
    for (; pages > 0; pages--) {
      const page = await app.page(app.cursor, this.dice.range(1, 8));
      assert.ok(!page.hasMore || (page.changes.length > 0 && page.cursor !== app.cursor), "a page that makes no progress");
      assert.equal(page.reset, undefined);
      for (const { collection } of page.changes) assert.ok(!app.collections || app.collections.includes(collection));
      app.take(page);
      this.seen.pages += 1;
      this.seen.filtered += app.collections ? 1 : 0;
      if (!page.hasMore) return false;
    }
    return true;
  }

  /** It asks for other collections from now on, with the cursor that it has. */
  async #otherFilter(app) {
    app.collections = this.dice.chance(40) ? undefined : this.#some();
    await this.#pull(app, 1);
  }

  async judge() {
    const { dice, model, apps } = this;
    while (apps.some(({ queue }) => queue.length > 0)) for (const app of apps) if (app.queue.length > 0) await this.#push(app);
    // What each device shows of the collections that it asks for is what the relay holds.
    for (const app of apps) {
      while (await this.#pull(app, 5));
      const expected = model.list(app.collections);
      const found = [...app.records.values()].filter(({ collection }) => !app.collections || app.collections.includes(collection));
      assert.deepEqual(sorted(found), sorted(expected));
      assert.deepEqual(app.news, this.#expectedNews.get(app), "what was told unasked");
      this.seen.news += app.news.length;
    }
    // A new device gets each thing once, the newest, in the order in which they were accepted.
    const late = await this.#add(pick(dice, WAYS));
    const got = [];
    for (let page, size = dice.range(1, 10); !page || page.hasMore; got.push(...page.changes)) page = await late.page(page?.cursor, size);
    assert.deepEqual(got, model.list());
    this.seen.deleted += got.filter(({ type, data }) => type === "delete" && data === null).length;
  }
}

const sorted = (records) => records.map((record) => JSON.stringify(shown(record))).sort();
