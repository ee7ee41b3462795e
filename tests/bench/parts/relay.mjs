// The relay natively, beside a broadcast loop over `ws` in Node: what tests/load measures (`cargo xtask load`), as keys.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const title = "the relay";

const fanout = "messages of one device to 100 others of a user, beside a broadcast loop over `ws`";
const idle = "idle connections held at once";
const stored = "changes stored in a second";
export const keys = {
  relay_fanout_vs_ws: { what: fanout, unit: "×", budget: { least: 3 }, quick: { least: 1 } },
  relay_fanout_vs_ws_plain: { what: "– the relay without a store", unit: "×", budget: { least: 3 }, quick: { least: 1.8 } },
  relay_fanout_processor_vs_ws: { what: "– processor for each delivery, beside the loop's", unit: "×" },
  relay_idle_connections: { what: idle, budget: { least: 10_000 } },
  relay_bytes_per_connection: { what: "– memory of each", unit: "bytes" },
  relay_changes_per_second_sqlite_one: { what: `${stored}, 100 in a push: SQLite, one user`, unit: "/s" },
  relay_changes_per_second_sqlite_many: { what: "– 50 users", unit: "/s" },
  relay_changes_per_second_postgres_one: { what: "– PostgreSQL, one user", unit: "/s" },
  relay_changes_per_second_postgres_many: { what: "– 50 users", unit: "/s" },
  relay_append_growth: { what: "one more push, of a log 100 times as large", unit: "×" },
  relay_answer_growth: { what: "the last page, of a log 100 times as large", unit: "×" },
};

export async function measure({ quick, need }) {
  const folder = await mkdtemp(join(tmpdir(), "crsqlite-bench-"));
  const report = join(folder, "load.json");
  const broadcast = fileURLToPath(new URL("../../load/broadcast.mjs", import.meta.url));
  const programs = ["--relay", need("CRSQLITE_RELAY"), "--broadcast", broadcast, "--postgres", need("PG_BIN")];
  const args = [...programs, "--report", report, ...(quick ? ["--quick"] : [])];
  try {
    const load = spawn(need("CRSQLITE_LOAD"), args, { stdio: ["ignore", "ignore", "inherit"] });
    const [code] = await once(load, "exit");
    if (code !== 0) throw new Error(`the load ended with ${code}`);
    const { values, details } = JSON.parse(await readFile(report, "utf8"));
    const shown = Object.fromEntries(Object.keys(keys).map((key) => [key, values[key]]));
    return { values: quick ? { ...shown, ...whole } : shown, details };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

// The quick run holds a tenth, and its logs grow by ten.
const whole = { relay_idle_connections: undefined, relay_append_growth: undefined, relay_answer_growth: undefined };
