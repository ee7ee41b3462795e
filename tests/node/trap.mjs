// The test of a trap says what goes well because of a rule. It runs with the package as it is, and again with one that
// can leave the rule out: there it has to pass with the rule, and to fail without it. That happens in a process of its
// own, because some rules keep the database's module from crashing.
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { test } from "node:test";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { end, patience } from "./harness.mjs";

/** The package and the relay that can leave a rule out, which `cargo xtask test` makes. */
const { CRSQLITE_SYNC_MUTANTS: mutants, CRSQLITE_RELAY_MUTANTS: relay, TRAP: asked } = process.env;
const skip = !mutants && "no package that can leave a rule out";

/** Without a rule it shall fail soon: in a wait that is longer than all of the body takes here with every rule. */
const SOON_MS = 2500;
/** A body that waits for what has no end of its own counts as failed. */
const TOO_LATE_MS = 60_000;
/** How many trials run at once: most of the time they wait for what does not come. */
const AT_ONCE = 3;

const trials = [];

/** A test that holds because of these rules of `src/rules.rs`, each by itself. */
export function trap(name, rules, body) {
  if (asked === name) return run(rules, body);
  if (asked !== undefined) return;
  test(name, body);
  if (rules.length === 0) return;
  const at = trials.push({ name }) - 1;
  test(`${name}: not without ${rules.join(", nor without ")}`, { skip }, async (t) => judge(t, rules, await outcome(at)));
}

/** What came of a trial; the next ones begin as well. */
function outcome(at) {
  for (const trial of trials.slice(at, at + AT_ONCE)) trial.outcome ??= soundly(trial.name);
  return trials[at].outcome;
}

// With all rules the body is only the measure of the trials, and tested for itself: a slip of the machine there is no verdict.
async function soundly(name) {
  const first = await tried(name);
  return first.verdicts[0]?.failure ? tried(name) : first;
}

async function tried(name) {
  const { NODE_TEST_CONTEXT: _, ...rest } = process.env;
  const env = { ...rest, TRAP: name, CRSQLITE_SYNC_PKG: mutants, CRSQLITE_RELAY: relay };
  const child = fork(process.argv[1], { env, silent: true });
  const verdicts = [];
  let noise = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (noise = (noise + text).slice(-4000)));
  child.on("message", (verdict) => verdicts.push(verdict));
  const code = await new Promise((exited) => child.once("exit", exited));
  // Whoever crashes says nothing any more.
  if (code !== 0) verdicts.push({ failure: "it crashed", stated: true });
  return { verdicts, noise };
}

function judge(t, rules, { verdicts: [sound, ...without], noise }) {
  assert.deepEqual(sound, {}, `the package that can leave rules out fails with all of them:\n${noise}`);
  for (const [at, rule] of rules.entries()) {
    const { failure, stated } = without[at] ?? {};
    t.diagnostic(`without ${rule}: ${failure}`);
    assert.ok(failure, `nothing notices that ${rule} is left out`);
    assert.ok(stated, `without ${rule} the test itself breaks: ${failure}`);
  }
}

async function run(rules, body) {
  const { leaveOut } = await import(pathToFileURL(resolve(mutants, "crsqlite_sync.js")).href);
  let soon = SOON_MS;
  for (const rule of [undefined, ...rules]) {
    assert.ok(leaveOut(rule), `there is no rule ${rule}`);
    if (rule) Object.assign(process.env, { CRSQLITE_LEAVE_OUT: rule }); // for a relay that the body starts
    if (rule) patience.ms = soon;
    const began = Date.now();
    // On a busy machine another rule may heal in time what this one is for; it does not three times in a row.
    let error;
    for (let tries = rule ? 3 : 1; tries > 0 && !error; tries--) {
      error = await Promise.race([body().then(() => undefined, (error) => error), late(TOO_LATE_MS)]);
      if (!error && tries > 1) await Promise.race([end(), late(SOON_MS)]);
    }
    leaveOut();
    if (!rule) soon = Math.max(SOON_MS, 2 * (Date.now() - began));
    process.send(error ? { failure: brief(error), stated: stated(error) } : {});
    await Promise.race([end(), late(SOON_MS)]);
  }
  process.exit();
}

/** About the package, rather than a slip of the test. */
const stated = (error) => !(error instanceof TypeError || error instanceof ReferenceError || error instanceof SyntaxError);
const brief = (error) => String(error.message ?? error).split("\n").slice(0, 3).join(" ");
const late = (ms) => new Promise((resolve) => setTimeout(resolve, ms, new Error("it never ended")));
