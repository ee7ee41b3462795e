// Compaction against the real cr-sqlite: random histories of real databases, whose rows also go through a real relay's log.
// Whoever has only the compacted log holds what those hold who lived through it. SEEDS=17 plays one, SEEDS=0-19999 more.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { after, test } from "node:test";
import { play } from "./histories/history.mjs";
import { storingRelay } from "./storing.mjs";

const [FIRST, LAST = FIRST] = (process.env.SEEDS ?? "0-149").split("-").map(Number);
const COUNT = LAST - FIRST + 1;
/** How many go on beside each other: while one waits for the disk, another merges. */
const AT_ONCE = 4;
/** How large answers are: a row or two, a few, everything. */
const PAGES = [200, 1_500, 512 << 10];
/** In one of how many histories each kind of row is left in the log, at least: where nothing happens, nothing is proved. */
const ONE_IN = { deleted: 5, revived: 5, tied: 2, alone: 2, zeroed: 50 };

const { CRSQLITE_RELAY_MUTANTS: mutants, CRSQLITE_LEAVE_OUT: leftOut } = process.env;

test(`who has only the log holds what the devices hold, after each of the histories ${FIRST} to ${LAST}`, async (t) => {
  const relays = await Promise.all(PAGES.map((bytes) => storingRelay({ args: ["--answer-bytes", bytes] })));
  after(() => Promise.all(relays.map((relay) => relay.stop())));
  const total = {};
  const failed = [];
  let next = FIRST;
  const lane = async () => {
    for (let seed = next++; seed <= LAST; seed = next++) {
      const failure = (error) => void failed.push(`SEEDS=${seed}: ${error.stack}`);
      const found = await play(seed, relays[seed % relays.length]).catch(failure);
      for (const [kind, count] of Object.entries(found ?? {})) total[kind] = (total[kind] ?? 0) + count;
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
  t.diagnostic(JSON.stringify(total));
  assert.equal(failed.length, 0, `${failed.length} histories went wrong:\n${failed.slice(0, 5).join("\n\n")}`);
  if (COUNT < 100) return;
  for (const [kind, most] of Object.entries(ONE_IN)) assert.ok(total[kind] * most >= COUNT, `${kind}: ${total[kind]}`);
});

for (const rule of leftOut ? [] : ["compact-by-row", "keep-ties"]) {
  test(`the histories notice a log without ${rule}`, { skip: !mutants && "no relay that can leave a rule out" }, () => {
    const { NODE_TEST_CONTEXT: _, ...rest } = process.env;
    const env = { ...rest, CRSQLITE_RELAY: mutants, CRSQLITE_LEAVE_OUT: rule, SEEDS: "0-11" };
    const { stdout } = spawnSync(process.execPath, ["--test", import.meta.filename], { env, encoding: "utf8", timeout: 120_000 });
    assert.match(stdout, /histories went wrong[^]*who (followed|read) the log/);
  });
}
