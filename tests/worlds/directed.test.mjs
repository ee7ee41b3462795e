// Worlds can fail: each directed one ends with equal databases because of its rule, and not without it.
import "./time.mjs";
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { resolve } from "node:path";
import { after, test } from "node:test";
import { directed, scenarioOf } from "./directed.mjs";
import { hangUp } from "./remotes.mjs";
import { play } from "./world.mjs";

/** The package that can leave a rule out, which `cargo xtask test` makes. */
const { CRSQLITE_SYNC_MUTANTS: mutants } = process.env;
const skip = !mutants && "no package that can leave a rule out";

after(hangUp);

for (const [rule, world] of Object.entries(directed)) {
  test(world.name, () => play(scenarioOf(world)));
  test(`${world.name}: not without ${rule}`, { skip }, () => {
    const env = { ...process.env, CRSQLITE_SYNC_PKG: mutants, CRSQLITE_WORLD_WITHOUT: rule };
    const trial = spawnSync(process.execPath, [resolve(import.meta.dirname, "trial.mjs"), rule], { env, encoding: "utf8" });
    assert.match(trial.stdout, /^went wrong: .*replicas (differ|have differed)/, trial.stderr);
  });
}
