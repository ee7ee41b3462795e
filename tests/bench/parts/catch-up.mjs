// A new device of a user who has been at work for years: how long until it holds everything, how much it downloads, what the
// page holds in memory meanwhile; and whether ten times the history behind the same rows makes any of that more.

import { digestOf, writeHistory } from "../history.mjs";
import { alternate, median } from "../rounds.mjs";

export const title = "catching up";

export const keys = {
  catchup_history_growth: { what: "a new device, ten times the history behind the same rows: time", unit: "×", budget: { most: 1.15 }, quick: { most: 2 } },
  catchup_history_growth_bytes: { what: "the same: bytes", unit: "×", budget: { most: 1.05 }, quick: { most: 1.1 } },
  catchup_rows_per_second: { what: "a new device, 100,000 rows after 1,000,000 writes, random keys, IndexedDB", unit: "rows/s" },
  catchup_bytes_per_row: { what: "the same: text of the frames", unit: "B/row" },
  catchup_heap_mb: { what: "the same: JavaScript heap at its peak", unit: "MB" },
  catchup_wasm_mb: { what: "the same: memory of our wasm", unit: "MB" },
};

/** Live rows, how often each was written, and new devices of each history. The long history is ten times as long. */
const GROWTH = { quick: { rows: 2_000, writes: 3, rounds: 2 }, full: { rows: 10_000, writes: 10, rounds: 5 } };
/** With BENCH_HISTORY=10 the large history is ten times as long, too: 10,000,000 writes, some minutes. */
const LARGE = { rows: 100_000, writes: 10 * Number(process.env.BENCH_HISTORY ?? 1) };

export async function measure(host) {
  const relay = await host.relay({ args: ["--rate-messages=0", "--rate-bytes=0"] });
  const { rows, writes, rounds } = host.quick ? GROWTH.quick : GROWTH.full;
  const histories = { short: { rows, writes: rows * writes }, long: { rows, writes: rows * writes * 10 } };
  for (const [user, history] of Object.entries(histories)) await writeHistory(relay, user, history);
  const seen = { short: [], long: [] };
  const newDevice = (user) => async () => {
    const result = await catchUp(host, relay, user, histories[user]);
    seen[user].push(result.bytes);
    return result.took;
  };
  const times = await alternate({ short: newDevice("short"), long: newDevice("long") }, rounds);
  const values = { catchup_history_growth: times.long.map((ms, round) => ms / times.short[round]), catchup_history_growth_bytes: median(seen.long) / median(seen.short) };
  if (host.quick) return { values, details: { times } };

  const history = { rows: LARGE.rows, writes: LARGE.rows * LARGE.writes };
  await writeHistory(relay, "large", history);
  const large = await catchUp(host, relay, "large", history);
  return {
    values: {
      ...values,
      catchup_rows_per_second: (1000 * history.rows) / large.took,
      catchup_bytes_per_row: large.bytes / history.rows,
      catchup_heap_mb: large.heap / 1e6,
      catchup_wasm_mb: large.wasm.ours / 1e6,
    },
    details: { times, history, large },
  };
}

/** A new device until it has caught up; throws unless it then holds the end of the history. */
async function catchUp(host, relay, user, history) {
  const context = await host.profile();
  await relay.signIn(context, user);
  const page = await host.page({ context });
  const result = await host.call(page, "catch-up.mjs", "catchUp", { url: relay.socket, name: "device" });
  if (result.digest !== digestOf(history) || result.errors.length > 0) throw new Error(`it holds ${result.digest}, and not ${digestOf(history)}: ${result.errors.join(", ")}`);
  await context.close();
  return result;
}
