// The program of apps/node, in a process of its own, with any number of devices in it. A device has the methods of
// `openNotes`. Decides nothing; used where a browser needs another device to speak to.

import { fork } from "node:child_process";
import { once } from "node:events";
import { here } from "./programs.mjs";

export class NodeApp {
  #child;
  #last = 0;
  #waiting = new Map();

  static async start() {
    const app = new NodeApp();
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    app.#child = fork(here("apps/node/main.mjs"), { env, execArgv: [], stdio: ["ignore", "inherit", "inherit", "ipc"] });
    await Promise.race([
      once(app.#child, "message"),
      once(app.#child, "exit").then(([code]) => Promise.reject(new Error(`the app under Node ended with ${code}`))),
    ]);
    app.#child.on("message", ({ id, value, error }) => {
      const { resolve, reject } = app.#waiting.get(id);
      app.#waiting.delete(id);
      if (error) reject(new Error(error));
      else resolve(value);
    });
    return app;
  }

  /** A device in memory, on that address of a relay. */
  async open(relay) {
    const device = (this.#last += 1);
    await this.#call(device, "open", { relay });
    return new Proxy({}, { get: (_, method) => (method === "then" ? undefined : (...args) => this.#call(device, method, ...args)) });
  }

  #call(device, method, ...args) {
    return new Promise((resolve, reject) => {
      this.#waiting.set((this.#last += 1), { resolve, reject });
      this.#child.send({ id: this.#last, device, method, args });
    });
  }

  async close() {
    if (this.#child.exitCode !== null) return;
    const gone = once(this.#child, "exit");
    this.#child.disconnect();
    this.#child.kill("SIGKILL");
    await gone;
  }
}
