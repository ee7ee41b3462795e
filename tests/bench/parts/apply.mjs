// Applying what others wrote, from the text of messages to committed rows, through SyncClient: beside the limit of cr-sqlite
// itself, beside what one would write, and beside vlcn's own client.

import { timesFaster } from "../rounds.mjs";

export const title = "applying";

const beside = (other) => `apply, beside ${other}`;
export const keys = {
  apply_vs_floor: { what: beside("one INSERT … SELECT from a temporary table, in memory"), unit: "×", budget: { least: 0.85 }, quick: { least: 0.25 } },
  apply_vs_floor_random: { what: "– random keys in a filled table", unit: "×", budget: { least: 0.8 } },
  apply_vs_floor_wide: { what: "– 20 columns", unit: "×" },
  apply_vs_floor_large: { what: "– values of 10 kB", unit: "×" },
  apply_vs_floor_idb: { what: "– on IndexedDB", unit: "×" },
  apply_vs_per_row: { what: beside("a prepared statement for each row"), unit: "×", budget: { least: 1.15 }, quick: { least: 0.5 } },
  apply_vs_per_row_idb: { what: "– on IndexedDB", unit: "×" },
  apply_vs_vlcn: { what: beside("`@vlcn.io/ws-browserdb`, on IndexedDB"), unit: "×", budget: { least: 1.3 } },
};

export async function measure(bench) {
  const page = await bench.page();
  const rounds = bench.quick ? 3 : 5;
  const worlds = {
    ordered: { who: ["ours", "floor", "perRow"], of: {}, rows: bench.quick ? 1500 : 5000 },
    ...(!bench.quick && {
      random: { who: ["ours", "floor", "perRow"], of: { random: true }, filled: 20_000, rows: 4000, written: 0.5 },
      wide: { who: ["ours", "floor", "perRow"], of: { columns: 20 }, rows: 1000 },
      large: { who: ["ours", "floor", "perRow"], of: { bytes: 10_240 }, rows: 800 },
      idb: { who: ["ours", "floor", "perRow", "vlcn"], of: {}, persistent: true, rows: 2500 },
    }),
  };
  const details = {};
  for (const [name, world] of Object.entries(worlds)) {
    details[name] = await bench.call(page, "apply.js", "measure", { rounds, ...world });
  }
  const against = (world, other) => details[world] && timesFaster(details[world].times.ours, details[world].times[other]);
  return {
    values: {
      apply_vs_floor: against("ordered", "floor"),
      apply_vs_per_row: against("ordered", "perRow"),
      apply_vs_floor_random: against("random", "floor"),
      apply_vs_floor_wide: against("wide", "floor"),
      apply_vs_floor_large: against("large", "floor"),
      apply_vs_floor_idb: against("idb", "floor"),
      apply_vs_per_row_idb: against("idb", "perRow"),
      apply_vs_vlcn: against("idb", "vlcn"),
    },
    details,
  };
}
