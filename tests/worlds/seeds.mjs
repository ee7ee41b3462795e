// Random worlds with real databases: the scenarios that the simulator draws, played with the package itself, in virtual
// time. `CRSQLITE_WORLD=17 node --test tests/worlds/*.test.mjs` plays one of them, `CRSQLITE_WORLD=0-1999` more.
import "./time.mjs";
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { hangUp, scenarios } from "./remotes.mjs";
import { play } from "./world.mjs";

/** Plays those of the worlds that have a remote of this kind. */
export function worlds(remote, name) {
  const [first, last = first] = (process.env.CRSQLITE_WORLD ?? "0-59").split("-").map(Number);
  const all = scenarios(first, last - first + 1).filter((world) => world.remote === remote);
  after(hangUp);
  test(name, { skip: all.length === 0 }, async (context) => {
    const failed = [];
    for (const world of all) {
      await play(world).catch((error) => failed.push(`CRSQLITE_WORLD=${world.seed} (${world.kind}): ${error.stack}`));
    }
    context.diagnostic(`${all.length} worlds, ${failed.length} diverged`);
    assert.equal(failed.length, 0, `${failed.length} of ${all.length} worlds went wrong:\n${failed.join("\n\n")}`);
  });
}
