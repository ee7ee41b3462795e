// The relay natively, beside a broadcast loop over `ws` in Node: what tests/load measures (`cargo xtask load`), as keys.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const title = "the relay";

const fanout = "messages of one device to all others of a user, beside a broadcast loop over `ws`";
export const keys = {
  relay_fanout_vs_ws: { what: fanout, unit: "×", budget: { least: 3 } },
  relay_fanout_vs_ws_plain: { what: "– the relay without a store", unit: "×" },
  relay_idle_connections: { what: "idle connections held at once", budget: { least: 10_000 } },
  relay_bytes_per_connection: { what: "– memory of each", unit: "bytes" },
};

export async function measure({ quick, need }) {
  const folder = await mkdtemp(join(tmpdir(), "crsqlite-bench-"));
  const report = join(folder, "load.json");
  const broadcast = fileURLToPath(new URL("../../load/broadcast.mjs", import.meta.url));
  const args = ["--relay", need("CRSQLITE_RELAY"), "--broadcast", broadcast, "--report", report, ...(quick ? ["--quick"] : [])];
  try {
    const load = spawn(need("CRSQLITE_LOAD"), args, { stdio: ["ignore", "ignore", "inherit"] });
    const [code] = await once(load, "exit");
    if (code !== 0) throw new Error(`the load ended with ${code}`);
    const [storing, plain, node] = JSON.parse(await readFile(report, "utf8"));
    const speed = ({ one_to_many }) => one_to_many.deliveries_per_second;
    return {
      values: {
        relay_fanout_vs_ws: speed(storing) / speed(node),
        relay_fanout_vs_ws_plain: speed(plain) / speed(node),
        // The quick run holds a tenth.
        relay_idle_connections: quick ? undefined : storing.idle.connections,
        relay_bytes_per_connection: storing.idle.bytes_each,
      },
      details: { storing, plain, node },
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
