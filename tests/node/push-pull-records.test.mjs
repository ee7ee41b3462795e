// An app's own records over the endpoints of the real relay, against a model of the contract: random histories of devices
// written by hand. SEEDS=17 plays one, SEEDS=0-1999 more.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { play } from "./records/history.mjs";
import { storingRelay } from "./storing.mjs";

const [FIRST, LAST = FIRST] = (process.env.SEEDS ?? "0-99").split("-").map(Number);
const AT_ONCE = 4;
/** How large pages are at most: one record each, or as many as were asked for. */
const PAGES = [1, 512 << 10];

test(`every answer about records is the model's, in each of the histories ${FIRST} to ${LAST}`, async (t) => {
  const relays = await Promise.all(PAGES.map((bytes) => storingRelay({ args: ["--answer-bytes", bytes] })));
  after(() => Promise.all(relays.map((relay) => relay.stop())));
  const total = {};
  const failed = [];
  let next = FIRST;
  const lane = async () => {
    for (let seed = next++; seed <= LAST; seed = next++) {
      const failure = (error) => void failed.push(`SEEDS=${seed}: ${error.stack}`);
      const seen = await play(seed, relays[seed % relays.length]).catch(failure);
      for (const [kind, count] of Object.entries(seen ?? {})) total[kind] = (total[kind] ?? 0) + count;
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
  t.diagnostic(JSON.stringify(total));
  assert.equal(failed.length, 0, `${failed.length} histories went wrong:\n${failed.slice(0, 5).join("\n\n")}`);
  // Histories in which nothing happens prove nothing.
  const count = LAST - FIRST + 1;
  for (const [kind, happened] of Object.entries(total)) assert.ok(count < 100 || happened >= count / 4, `${kind}: ${happened}`);
});
