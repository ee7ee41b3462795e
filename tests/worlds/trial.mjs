// Plays one directed world in a process of its own, where CRSQLITE_WORLD_WITHOUT has left its rule out; says how it went.
import "./time.mjs";
import { directed, scenarioOf } from "./directed.mjs";
import { hangUp } from "./remotes.mjs";
import { play } from "./world.mjs";

const [, , rule] = process.argv;
await play(scenarioOf(directed[rule])).then(
  () => console.log("equal"),
  (error) => console.log(`went wrong: ${error.message}`),
);
hangUp();
