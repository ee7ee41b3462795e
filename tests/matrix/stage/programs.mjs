// Tools of the apps, run as people run them: each in a process of its own, in the folder of its app. Decides nothing about
// the apps. A program that ends badly rejects with what it printed; servers are ended by their own process id.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

export const here = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));

const ENV = { ...process.env, NEXT_TELEMETRY_DISABLED: "1", NO_COLOR: "1" };
// Node's test runner speaks to its children through this.
delete ENV.NODE_TEST_CONTEXT;
const BUILD_MS = 240_000;
const START_MS = 60_000;

/** Runs a script to its end. `script`: below node_modules, or below the app with "./". */
export async function run(app, [script, ...args]) {
  const { child, output } = start(app, script, args);
  const timer = setTimeout(() => child.kill("SIGKILL"), BUILD_MS);
  const [code] = await once(child, "close");
  clearTimeout(timer);
  if (code !== 0) throw new Error(`${script} ${args.join(" ")} in ${app} ended with ${code}:\n${output.join("")}`);
}

/** Starts a server that prints its address; `close` ends it. */
export async function server(app, [script, ...args]) {
  const { child, output } = start(app, script, args);
  const close = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    child.kill("SIGKILL");
    await gone;
  };
  const problem = (what) => new Error(`${script} in ${app} ${what}:\n${output.join("")}`);
  const url = await new Promise((resolve, reject) => {
    const timer = setTimeout(() => close().then(() => reject(problem("did not tell its address"))), START_MS);
    const listen = () => {
      const found = /http:\/\/(?:127\.0\.0\.1|localhost):\d+/.exec(output.join(""))?.[0];
      if (!found) return;
      clearTimeout(timer);
      resolve(found);
    };
    child.stdout.on("data", listen);
    child.once("exit", () => reject(problem("ended")));
  });
  return { url, close };
}

function start(app, script, args) {
  const path = script.startsWith("./") ? here(`apps/${app}/${script}`) : here(`node_modules/${script}`);
  const child = spawn(process.execPath, [path, ...args], { cwd: here(`apps/${app}`), env: ENV, stdio: ["ignore", "pipe", "pipe"] });
  const output = [];
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => output.push(text));
  return { child, output };
}
