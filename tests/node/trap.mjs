// The test of a trap says what goes well because of a rule. It runs with the package as it is, and again with one that
// can leave the rule out: there it has to pass with the rule, and to fail without it. That happens in a process of its
// own, because some rules keep the database's module from crashing.
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { test } from "node:test";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { end, patience } from "./harness.mjs";

/** The package that can leave a rule out, which `cargo xtask test` makes. */
const { CRSQLITE_SYNC_MUTANTS: mutants, TRAP: asked } = process.env;
const skip = !mutants && "no package that can leave a rule out";

/** Without a rule it shall fail soon. */
const SOON_MS = 2500;
/** A body that waits for what has no end of its own counts as failed. */
const TOO_LATE_MS = 60_000;

/** A test that holds because of these rules of `src/rules.rs`, each by itself. */
export function trap(name, rules, body) {
  if (asked === name) return trial(rules, body);
  if (asked !== undefined) return;
  test(name, body);
  if (rules.length > 0) test(`${name}: not without ${rules.join(", nor without ")}`, { skip }, (t) => tried(t, name, rules));
}

async function tried(t, name, rules) {
  const { NODE_TEST_CONTEXT: _, ...rest } = process.env;
  const env = { ...rest, TRAP: name, CRSQLITE_SYNC_PKG: mutants };
  const child = fork(process.argv[1], { env, silent: true });
  const said = [];
  let noise = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (noise = (noise + text).slice(-4000)));
  child.on("message", (verdict) => said.push(verdict));
  const code = await new Promise((exited) => child.once("exit", exited));
  const [sound, ...without] = said;
  assert.ok(sound, `nothing was tried:\n${noise}`);
  assert.equal(sound.failure, undefined, `the package for this trial fails with all rules:\n${noise}`);
  for (const [at, rule] of rules.entries()) {
    // Whoever crashes says nothing any more.
    const verdict = without[at] ?? (at === without.length && code !== 0 ? { failure: "it crashed" } : {});
    t.diagnostic(`without ${rule}: ${verdict.failure}`);
    assert.ok(verdict.failure, `nothing notices that ${rule} is left out`);
    assert.ok(verdict.failed ?? true, `without ${rule} the test itself breaks: ${verdict.failure}`);
  }
}

async function trial(rules, body) {
  const { leaveOut } = await import(pathToFileURL(resolve(mutants, "crsqlite_sync.js")).href);
  for (const rule of [undefined, ...rules]) {
    assert.ok(leaveOut(rule), `there is no rule ${rule}`);
    if (rule) patience.ms = SOON_MS;
    const error = await Promise.race([body().then(() => undefined, (error) => error), late(TOO_LATE_MS)]);
    leaveOut();
    process.send(error ? { failure: first(error), failed: says(error) } : {});
    await Promise.race([end(), late(SOON_MS)]);
  }
  process.exit();
}

/** A statement about the package, rather than a slip of the test. */
const says = (error) => !(error instanceof TypeError || error instanceof ReferenceError || error instanceof SyntaxError);
const first = (error) => String(error.message ?? error).split("\n").slice(0, 3).join(" ");
const late = (ms) => new Promise((resolve) => setTimeout(resolve, ms, new Error("it never ended")).unref());
