// WebKit through WebKitGTK's driver, with plain calls of the W3C protocol, on an X display of its own. Decides how the two
// processes are started and ended. A session has one current window, so that commands to several pages take turns.
// Called by index.mjs, which says what a page is.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";

const PATIENCE_MS = 30_000;

export class WebKitEngine {
  name = "webkit";
  #display;
  #driver;
  #session;
  /** The window that the session began with. It stays, because a command needs a window, also the one for another. */
  #first;
  #last = Promise.resolve();

  static async launch(_name, driver, display) {
    const engine = new WebKitEngine();
    try {
      await engine.#start(driver, display);
    } catch (error) {
      await engine.close();
      throw error;
    }
    return engine;
  }

  async #start(driver, display) {
    const env = { ...process.env };
    // Without a display a new session hangs, and there is no headless mode. People's own is left alone.
    this.#display = start(display, ["-displayfd", "3", "-nolisten", "tcp"], { stdio: ["ignore", "ignore", "ignore", "pipe"] });
    const [number] = await within(once(this.#display.stdio[3], "data"), "Xvfb names its display");
    env.DISPLAY = `:${String(number).trim()}`;
    env.GDK_BACKEND = "x11";
    // The top tier takes all processors for twelve seconds to compile SQLite.
    env.JSC_useOMGJIT = "0";
    const port = await freePort();
    this.#driver = start(driver, ["--host=127.0.0.1", `--port=${port}`], { stdio: "ignore", env });
    this.#session = `http://127.0.0.1:${port}/session`;
    const capabilities = { alwaysMatch: { browserName: "MiniBrowser", timeouts: { script: PATIENCE_MS, pageLoad: PATIENCE_MS } } };
    const { sessionId, capabilities: got } = await this.#patiently({ capabilities });
    this.#session += `/${sessionId}`;
    this.version = `WebKitGTK ${got.browserVersion}`;
    this.#first = await this.#send("GET", "/window");
  }

  // The driver takes a moment to listen, and says nothing when it does.
  async #patiently(body) {
    const deadline = Date.now() + PATIENCE_MS;
    for (;;) {
      try {
        return await this.#send("POST", "", body);
      } catch (error) {
        if (error.cause?.code !== "ECONNREFUSED" || Date.now() > deadline) throw error;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  }

  async #send(method, path, body) {
    const response = await fetch(this.#session + path, { method, body: body && JSON.stringify(body), signal: AbortSignal.timeout(2 * PATIENCE_MS) });
    const { value } = await response.json();
    if (!response.ok) throw new Error(`${value.error}: ${value.message}`);
    return value;
  }

  async newPage() {
    return this.#inTurn(async () => {
      await this.#send("POST", "/window", { handle: this.#first });
      const { handle } = await this.#send("POST", "/window/new", { type: "tab" });
      return new WebKitPage((method, path, body) =>
        this.#inTurn(async () => {
          await this.#send("POST", "/window", { handle });
          return this.#send(method, path, body);
        }),
      );
    });
  }

  #inTurn(work) {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => {}); // told to whoever asked for it
    return turn;
  }

  async close() {
    if (this.version) await this.#send("DELETE", "").catch(() => {}); // its processes are ended below in any case
    await Promise.all([this.#driver, this.#display].filter(Boolean).map(end));
  }
}

class WebKitPage {
  /** The driver tells nothing of the console: what goes wrong shows in the page, or not at all. */
  problems = [];
  #command;

  constructor(command) {
    this.#command = command;
  }

  async goto(url) {
    await this.#command("POST", "/url", { url });
  }

  async reload() {
    await this.#command("POST", "/refresh", {});
  }

  async run(body, ...args) {
    const script = `const [args, done] = arguments;
      Promise.resolve().then(() => (${body})(...args)).then((value) => done({ value }), (error) => done({ error: String(error) + "\\n" + error.stack }));`;
    const { value, error } = await this.#command("POST", "/execute/async", { script, args: [args] });
    if (error) throw new Error(error);
    return value;
  }

  async close() {
    await this.#command("DELETE", "/window");
  }
}

const running = new Set();
process.on("exit", () => running.forEach(kill));

// In a group of its own, so that it ends with all the processes that it starts; also when the tests are interrupted.
function start(program, args, options) {
  const child = spawn(program, args, { ...options, detached: true });
  if (child.pid !== undefined) running.add(child);
  child.once("exit", () => running.delete(child));
  if (running.size === 1) ["SIGINT", "SIGTERM"].forEach((signal) => process.once(signal, () => process.exit(1)));
  return child;
}

async function end(child) {
  if (!running.has(child)) return;
  const gone = once(child, "exit");
  kill(child);
  await gone;
}

function kill(child) {
  process.kill(-child.pid, "SIGKILL");
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function within(promise, what) {
  let timer;
  const late = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error(`waited ${PATIENCE_MS} ms until ${what}`)), PATIENCE_MS)));
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
