// Applying what others wrote, from the text of messages to committed rows, through SyncClient: beside the limit of cr-sqlite
// itself, beside what one would write, and beside vlcn's own client.

import { timesFaster } from "../rounds.mjs";

export const title = "applying";

const beside = (other) => `apply, beside ${other}`;
export const keys = {
  // The part of SQL, as the budget has it: of one message, while the database is held for it.
  apply_vs_floor: { what: `${beside("one INSERT … SELECT from a temporary table, in memory")}: while the database is held`, unit: "×", budget: { least: 0.85 }, quick: { least: 0.35 } },
  apply_vs_floor_random: { what: "– random keys in a filled table", unit: "×", budget: { least: 0.8 } },
  apply_vs_floor_wide: { what: "– 20 columns", unit: "×" },
  apply_vs_floor_large: { what: "– values of 10 kB", unit: "×" },
  apply_path_vs_floor: { what: "the same, and the whole path: from the text of many messages on", unit: "×", quick: { least: 0.3 } },
  apply_path_vs_floor_idb: { what: "– on IndexedDB", unit: "×" },
  apply_vs_per_row: { what: beside("a prepared statement for each row"), unit: "×", budget: { least: 1.15 }, quick: { least: 0.5 } },
  apply_vs_per_row_idb: { what: "– on IndexedDB", unit: "×" },
  apply_vs_vlcn: { what: beside("`@vlcn.io/ws-browserdb`, on IndexedDB"), unit: "×", budget: { least: 1.3 } },
};

export async function measure(bench) {
  const page = await bench.page();
  const [few, many] = bench.quick ? [3, 3] : [5, 15];
  // What is held against the floor alone fits into one message: nothing else is at work then.
  const message = { who: ["ours", "floor"], rounds: many };
  const worlds = {
    message: { ...message, of: {}, rows: 700 },
    ordered: { who: ["ours", "floor", "perRow"], of: {}, rows: bench.quick ? 1500 : 5000, rounds: few },
    ...(!bench.quick && {
      random: { ...message, of: { random: true }, filled: 20_000, rows: 700, written: 0.5 },
      wide: { ...message, of: { columns: 20 }, rows: 140 },
      large: { ...message, of: { bytes: 10_240 }, rows: 45 },
      idb: { who: ["ours", "floor", "perRow", "vlcn"], of: {}, persistent: true, rows: 2500, rounds: few },
    }),
  };
  const details = {};
  for (const [name, world] of Object.entries(worlds)) details[name] = await bench.call(page, "apply.js", "measure", world);
  const against = (world, other) => details[world] && timesFaster(details[world].times.ours, details[world].times[other]);
  const held = (world) => details[world] && timesFaster(details[world].times.held, details[world].times.floor);
  return {
    values: {
      apply_vs_floor: held("message"),
      apply_vs_floor_random: held("random"),
      apply_vs_floor_wide: held("wide"),
      apply_vs_floor_large: held("large"),
      apply_path_vs_floor: against("ordered", "floor"),
      apply_path_vs_floor_idb: against("idb", "floor"),
      apply_vs_per_row: against("ordered", "perRow"),
      apply_vs_per_row_idb: against("idb", "perRow"),
      apply_vs_vlcn: against("idb", "vlcn"),
    },
    details,
  };
}
