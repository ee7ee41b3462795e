// The rounds of applying, in one page load: each contender gets the same changes in turn, and in the end all have to hold the
// same rows.

import { alternate } from "../rounds.mjs";
import { changes, shape } from "./changes.js";
import * as contenders from "./contenders.js";

/**
 * `who`: names of contenders.js. `filled` rows are there before the first round; each round brings `rows`, of which `written` (a
 * share) are new values for rows that are there. Resolves with name → milliseconds of each round, `held` for those
 * of ours in which it held the database, and how many changes each round had.
 */
export async function measure({ who, of, persistent = false, filled = 0, rows, written = 0, rounds }) {
  const made = shape(of);
  const running = {};
  for (const name of who) running[name] = await contenders[name](made, { persistent });
  try {
    if (filled > 0) for (const one of Object.values(running)) await one.apply(changes(made, { first: 0, rows: filled }));
    const [old, fresh] = [Math.round(rows * written), rows - Math.round(rows * written)];
    const batch = (round) => [
      // Over the whole table, in an order that is none of its keys where keys are random.
      ...changes(made, { first: (round * old) % Math.max(1, filled - old), rows: old, version: round + 2 }),
      ...changes(made, { first: filled + round * fresh, rows: fresh }),
    ];
    const held = [];
    const run = async (one, round) => {
      const made = batch(round + 1);
      one.held?.();
      const ms = await one.apply(made);
      if (one.held && round >= 0) held.push(one.held());
      return ms;
    };
    const runners = Object.entries(running).map(([name, one]) => [name, (round) => run(one, round)]);
    const times = { ...(await alternate(Object.fromEntries(runners), rounds)), held };
    await assertEqual(running, filled + (rounds + 1) * fresh);
    return { times, changes: batch(0).length };
  } finally {
    for (const one of Object.values(running)) await one.close();
  }
}

async function assertEqual(running, rows) {
  let first;
  for (const [name, { db }] of Object.entries(running)) {
    const held = await db.execA("SELECT * FROM t ORDER BY id");
    if (held.length !== rows) throw new Error(`${name} holds ${held.length} rows of ${rows}`);
    const text = JSON.stringify(held);
    if (text !== (first ??= text)) throw new Error(`${name} holds other values than ${Object.keys(running)[0]}`);
  }
}
