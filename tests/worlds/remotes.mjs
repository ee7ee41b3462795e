// Who stands between the devices: a relay that only forwards, or ours, or a server of the push-pull contract. The last two
// are the simulator's (the pure core of the relay's log, and its contract server), asked line by line over its pipes.
import { spawn, spawnSync } from "node:child_process";
import { createInterface } from "node:readline";
import { outside } from "./time.mjs";

const program = process.env.CRSQLITE_SIMULATOR;
if (!program) throw new Error("CRSQLITE_SIMULATOR has to name the simulator: cargo build --release -p simulator");

/** The scenarios of these seeds. */
export function scenarios(first, count) {
  const run = spawnSync(program, ["--scenarios", count, "--first", first], { encoding: "utf8", maxBuffer: 2 ** 30 });
  if (run.status !== 0) throw new Error(run.stderr);
  return run.stdout.trim().split("\n").map((line) => JSON.parse(line));
}

/** What one peer says all others hear. */
class Plain {
  async frame(text) {
    return { replies: [], others: [text] };
  }

  async beat() {
    return { others: [] };
  }

  async misfortune() {
    return {};
  }

  async promised() {
    return { sql: [], resync: false };
  }
}

/** The simulator's. The virtual clock stands still while it answers. */
class Served {
  frame(text, conn) {
    return ask({ ask: "frame", text, conn });
  }

  beat() {
    return ask({ ask: "beat" });
  }

  push(records, chaos) {
    return ask({ ask: "push", records, chaos });
  }

  pull({ cursor, batchSize }) {
    return ask({ ask: "pull", cursor: cursor ?? null, batchSize });
  }

  /** BackUp, Restore, Wipe, Restart, fail, heal. */
  misfortune(what) {
    return ask({ ask: what });
  }

  /** What was acknowledged, as merges, and whether clients have to be told of a loss. */
  promised() {
    return ask({ ask: "promised" });
  }
}

export async function remoteOf({ remote, seed }) {
  if (remote === "plain") return new Plain();
  await ask({ ask: "begin", world: seed });
  return new Served();
}

let pipe;
const asked = [];

function ask(what) {
  if (!pipe) {
    pipe = spawn(program, ["--relay"], { stdio: ["pipe", "pipe", "inherit"] });
    createInterface({ input: pipe.stdout }).on("line", (line) => asked.shift().resolve(JSON.parse(line)));
    pipe.on("exit", (code) => asked.splice(0).forEach(({ reject }) => reject(new Error(`the simulator ended with ${code}`))));
  }
  const answer = new Promise((resolve, reject) => asked.push({ resolve, reject }));
  pipe.stdin.write(`${JSON.stringify(what)}\n`);
  return outside(answer);
}

/** Lets the simulator go. */
export function hangUp() {
  pipe?.stdin.end();
  pipe = undefined;
}
