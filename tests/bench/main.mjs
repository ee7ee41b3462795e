// `cargo xtask bench`: runs the parts one after the other, prints what they measured beside their budgets, and keeps it in
// target/bench/report.json. Decides when the run has failed: in the quick run when a bound is broken, in both when a part
// could not measure, or found that what it measured was wrong. A missed budget fails nothing; the table says it.
//
// A new part: one file in parts/, which exports
//   title                what it measures, in a few words
//   keys                 { key: { what, unit?, budget?, quick? } }: the lines of the table. `budget` is what the design asks for,
//                        `quick` what even a busy machine has to reach; both are { least } or { most }
//   measure(bench)       resolves with { values: { key: number, or one number for each round }, details? }, or throws
// and one line in parts.mjs. `bench` is what host.mjs says, with `quick`. The quick run may leave keys out, the full one may not.

import { parseArgs } from "node:util";
import { Host } from "./host.mjs";
import { parts } from "./parts.mjs";
import { judged, table, toReadme, write } from "./report.mjs";

const PATIENCE_MS = { quick: 60_000, full: 300_000 };

const { values: options } = parseArgs({
  options: { quick: { type: "boolean", default: false }, write: { type: "boolean", default: false }, only: { type: "string" } },
});
const { quick } = options;
const only = options.only?.split(",");
const chosen = parts.filter(({ name }) => only?.includes(name) ?? true);
const unknown = only?.filter((name) => !parts.some((part) => part.name === name)) ?? [];
if (unknown.length > 0) fail(`there is no part ${unknown.join(", ")}: ${parts.map(({ name }) => name).join(", ")}`);
if (options.write && (only || quick)) fail("--write puts a whole table into the README: without --only and --quick");

const lines = [];
const failures = [];
const details = {};
const host = await Host.open({ quick });
try {
  for (const part of chosen) {
    const began = Date.now();
    try {
      const { values, details: more } = await inTime(part.measure(host), quick ? PATIENCE_MS.quick : PATIENCE_MS.full);
      if (host.problems.length > 0) throw new Error(host.problems.splice(0).join("\n"));
      lines.push(...judged(part, values, { quick }));
      if (more !== undefined) details[part.name] = more;
    } catch (error) {
      failures.push(`${part.name}: ${error.stack ?? error}`);
    }
    await host.tidy();
    console.log(`• ${part.title} (${((Date.now() - began) / 1000).toFixed(1)} s)`);
  }
} finally {
  await host.close();
}

const report = await write({ lines, details, quick, browser: host.version });
console.log(`\n${table(lines, { quick })}\n\n  ${report}`);
for (const { key, broken } of lines) if (broken) failures.push(`${key}: ${broken}`);
if (failures.length > 0) fail(failures.join("\n"));
if (options.write) await toReadme(lines, { browser: host.version });

async function inTime(measuring, ms) {
  let timer;
  const late = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error(`not done after ${ms} ms`)), ms)));
  return Promise.race([measuring, late]).finally(() => clearTimeout(timer));
}

function fail(why) {
  console.error(`\nbench: ${why}`);
  // What a part has left running ends with us.
  process.exit(1);
}
