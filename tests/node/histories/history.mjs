// One random history: a few replicas write and merge among themselves, all that they know goes to a log, and whoever has only
// the log must end with what they have. Decides what happens when, by a seed. Used by `compaction.test.mjs`.
import assert from "node:assert/strict";
import { Dice } from "../../worlds/dice.mjs";
import { difference } from "../../worlds/replicas.mjs";
import { UserLog } from "./log.mjs";
import { Replica } from "./replica.mjs";
import { write } from "./writes.mjs";

/** After so many rounds everybody has everything. */
const ROUNDS = 8;
const FOLLOWER = 20;
const NEWCOMERS = 30;

/** Plays the history of a seed with a user of its own; tells what its log holds in the end. */
export async function play(seed, relay) {
  const history = new History(seed);
  try {
    await history.begin(relay);
    await history.live();
    await history.settle();
    return await history.judge();
  } finally {
    await history.end();
  }
}

class History {
  #all = [];
  #log;

  constructor(seed) {
    this.dice = new Dice(seed);
    this.user = `history-${seed}`;
  }

  async begin(relay) {
    const { dice } = this;
    this.#log = await UserLog.open(relay, this.user, dice.range(1, 3));
    const count = dice.range(2, 4);
    this.writers = [];
    for (let n = 1; n <= count; n++) this.writers.push(await this.#replica(n, n > 1 && dice.chance(50)));
    /** Has nothing but the log, from the middle of the history on. */
    this.follower = await this.#replica(FOLLOWER, dice.chance(30));
  }

  async #replica(number, isOld) {
    const replica = await Replica.open(number, isOld);
    this.#all.push(replica);
    return replica;
  }

  async live() {
    const { dice, writers } = this;
    const one = () => writers[dice.below(writers.length)];
    for (let steps = dice.range(8, 32); steps > 0; steps--) {
      const roll = dice.below(100);
      const writer = one();
      if (roll < 48) await writer.write(Array.from({ length: dice.range(1, 3) }, () => write(dice, writer.isOld)));
      else if (roll < 70) await this.#meet(one(), writer);
      else if (roll < 86) await this.#push(writer);
      else if (roll < 96) await this.#follow(dice.range(1, 3));
      else await (dice.chance(50) ? this.follower : writer).catchUp();
    }
  }

  async #meet(from, to) {
    if (from !== to) await to.merge((await from.rows()).map(({ row }) => row));
  }

  /** The log is sent what it has not got: of any origin, in any order, cut anywhere, some of it twice. */
  async #push(replica, which = () => true) {
    const { dice } = this;
    const rows = (await replica.rows()).filter(which);
    const fresh = rows.filter(({ row }) => row.db_version > replica.uploaded);
    if (fresh.length === 0) return;
    const place = ({ row }) => `${row.table} ${row.pk}`;
    // With an odd -1 travel all rows of its key.
    const revived = new Set(fresh.filter(({ row }) => row.cid === "-1" && row.cl % 2 === 1).map(place));
    const added = rows.filter((one) => one.row.db_version <= replica.uploaded && revived.has(place(one)));
    const again = rows.filter(() => dice.chance(5));
    const batches = [];
    for (const one of this.#shuffled([...fresh, ...added, ...again])) {
      if (batches.length === 0 || dice.chance(7)) batches.push([]);
      batches.at(-1).push(one);
    }
    // The last one in line is the other protocol.
    await Promise.all(batches.map((batch) => this.#log.push(replica.site, batch, dice.below(this.#log.voices.length + 1))));
    replica.uploaded = await replica.head();
  }

  #shuffled(list) {
    const mixed = [...list];
    for (let at = mixed.length - 1; at > 0; at--) {
      const other = this.dice.below(at + 1);
      [mixed[at], mixed[other]] = [mixed[other], mixed[at]];
    }
    return mixed;
  }

  /** Reads so many pages at most; true if there is more. */
  async #follow(pages) {
    for (let page = 0; page < pages; page++) if (!(await this.#log.read(this.follower, this.dice.below(3)))) return false;
    return true;
  }

  /** Everybody gets everything: the writers from each other, the follower from the log. */
  async settle() {
    const { dice, writers, follower } = this;
    for (const writer of writers) await writer.catchUp();
    if (dice.chance(50)) await follower.catchUp();
    // In most histories the log has to find out by itself what the writers find out among themselves afterwards, but for
    // what only a revival that meets older columns brings about.
    const byItself = dice.chance(70);
    if (byItself) for (const writer of writers) await this.#push(writer);
    for (let round = 0; ; round++) {
      assert.ok(round < ROUNDS, "the history has no end");
      const before = await this.#heads();
      const [first, ...others] = writers;
      for (const writer of others) await first.learn(await writer.rows());
      for (const writer of others) await writer.learn(await first.rows());
      for (const writer of writers) await this.#push(writer, byItself ? isZeroed : undefined);
      await this.#follow(Infinity);
      await follower.catchUp();
      // A revival makes news of columns that it does not carry: they belong to whoever had them. Nothing else that the
      // follower has may help the writers.
      const zeroed = (await follower.rows()).filter(isZeroed);
      for (const writer of writers) await writer.learn(zeroed);
      if (before === (await this.#heads())) return;
    }
  }

  async #heads() {
    return JSON.stringify(await Promise.all([...this.writers, this.follower].map((replica) => replica.head())));
  }

  /** All replicas are equal, and so is everybody who has never had anything but the compacted log. */
  async judge() {
    const { dice, writers, follower } = this;
    const [first, ...others] = writers;
    for (const other of others) await this.#equal(first, other, "the replicas differ among themselves");
    await this.#equal(first, follower, "who followed the log differs");

    const ordered = await this.#replica(NEWCOMERS, false);
    while (await this.#log.read(ordered, 0));
    await this.#equal(first, ordered, "who read the log in its order differs");

    const pages = await this.#log.pulled(dice.range(3, 60));
    const shuffled = await this.#replica(NEWCOMERS + 1, false);
    await shuffled.merge(this.#shuffled(pages.flat()), dice.range(1, 30));
    await this.#equal(first, shuffled, "who read the log shuffled differs");

    const lagging = await this.#replica(NEWCOMERS + 2, true);
    const until = dice.below(pages.length + 1);
    for (const [at, page] of pages.entries()) {
      if (at === until) await lagging.catchUp();
      await lagging.merge(page, dice.range(1, 30));
    }
    await lagging.catchUp();
    await this.#equal(first, lagging, "who read the log with an old schema differs");
    return census(pages.flat());
  }

  async #equal(one, other, what) {
    const states = [await one.state(), await other.state()];
    assert.ok(states[0] === states[1], `${what} (d0 a writer):\n${difference(states)}`);
  }

  async end() {
    for (const replica of this.#all) await replica.close();
    this.#log?.close();
  }
}

const isZeroed = ({ row }) => row.col_version === 0;

/** What of each kind a log holds. Of each row it must hold one life only, and of a deleted one nothing but that. */
function census(rows) {
  const lives = grouped(rows);
  const found = { rows: rows.length, deleted: 0, revived: 0, tied: 0, zeroed: 0, alone: 0 };
  for (const [name, row] of lives) {
    const [{ cl }] = row;
    assert.ok(row.every((one) => one.cl === cl), `of ${name} two lives are kept`);
    assert.ok(cl % 2 === 1 || row.length === 1, `of the deleted ${name} more is kept than that`);
    found.deleted += cl % 2 === 0;
    found.revived += cl % 2 === 1 && cl > 1;
    found.alone += cl % 2 === 1 && row.every(({ cid }) => cid === "-1");
    found.zeroed += row.some(({ col_version }) => col_version === 0);
    const columns = new Map();
    for (const { cid, col_version } of row) columns.set(cid, [...(columns.get(cid) ?? []), col_version]);
    for (const [cid, versions] of columns) {
      assert.equal(new Set(versions).size, 1, `of ${cid} in ${name} two versions are kept`);
      found.tied += versions.length > 1;
    }
  }
  return found;
}

const key = ({ table, pk }) => `${table} ${pk}`;
function grouped(rows) {
  const groups = new Map();
  for (const row of rows) groups.set(key(row), [...(groups.get(key(row)) ?? []), row]);
  return groups;
}
