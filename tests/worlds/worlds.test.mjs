// Random worlds with real databases: the scenarios that the simulator draws, played with the package itself, in virtual
// time. `CRSQLITE_WORLD=17 node --test tests/worlds/worlds.test.mjs` plays one of them, `CRSQLITE_WORLD=0-1999` more.
import "./time.mjs";
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { hangUp, scenarios } from "./remotes.mjs";
import { play } from "./world.mjs";

const [first, last = first] = (process.env.CRSQLITE_WORLD ?? "0-199").split("-").map(Number);
const worlds = scenarios(first, last - first + 1);

after(hangUp);

const kinds = {
  plain: "on a relay that only forwards",
  storing: "on a relay that stores",
  "push-pull": "on a server of the push-pull contract",
};
for (const [remote, where] of Object.entries(kinds)) {
  const here = worlds.filter((world) => world.remote === remote);
  test(`real databases are equal after every world ${where}`, { skip: here.length === 0 }, async (context) => {
    const failed = [];
    for (const world of here) {
      await play(world).catch((error) => failed.push(`world ${world.seed} (${world.kind}): ${error.stack}`));
    }
    context.diagnostic(`${here.length} worlds`);
    assert.equal(failed.length, 0, `${failed.length} of ${here.length} worlds went wrong:\n${failed.join("\n\n")}`);
  });
}
