// Where the parts run: a headless Chromium, a site with the package as it ships, and relays. Decides how these are started and
// that they end; nothing about what is measured. Everything comes from the environment, which `cargo xtask bench` sets:
// CHROME, CRSQLITE_SYNC_PKG, CRSQLITE_RELAY and CRSQLITE_LOAD (optimised), CRSQLITE_PACKAGE_BYTES.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { extname, join, normalize } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { findChrome } from "../e2e/harness.mjs";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const PKG = process.env.CRSQLITE_SYNC_PKG ?? here("../../pkg");
const FOLDERS = { "/bench/": here("./"), "/package/": `${PKG}/`, "/node_modules/": here("../node_modules/") };
const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm" };
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  // `gc()` and memory in exact numbers for the parts that weigh pages.
  "--js-flags=--expose-gc",
  "--enable-precise-memory-info",
];

export class Host {
  /** Whether this is the quick run. */
  quick;
  /** What pages threw and nobody caught: the part has failed then. */
  problems = [];
  #browser;
  #site;
  #contexts = new Set();
  #relays = new Set();

  static async open({ quick }) {
    const host = new Host();
    host.quick = quick;
    host.#site = await serve();
    host.#browser = await chromium.launch({ executablePath: findChrome(), args: FLAGS });
    return host;
  }

  /** Of Chromium. */
  get version() {
    return this.#browser.version();
  }

  /** Playwright's, for CDP sessions and traces. */
  get browser() {
    return this.#browser;
  }

  /** The origin of the pages. */
  get origin() {
    return `http://127.0.0.1:${this.#site.address().port}`;
  }

  /** The environment's word; throws where there is none. */
  need(name) {
    const value = process.env[name];
    if (!value) throw new Error(`${name} is not set: cargo xtask bench does that`);
    return value;
  }

  /**
   * A page of our origin that can import "crsqlite-sync", "@vlcn.io/…" and what lies in page/ ("/bench/page/…"). In a profile
   * of its own (databases, cookies), unless it is given one.
   */
  async page({ context } = {}) {
    const profile = context ?? (await this.profile());
    const page = await profile.newPage();
    page.on("pageerror", (error) => this.problems.push(`in the page: ${error.stack ?? error}`));
    await page.goto(`${this.origin}/bench/page/index.html`);
    return page;
  }

  /** A profile: two pages of one share databases and cookies. */
  async profile() {
    const context = await this.#browser.newContext();
    context.setDefaultTimeout(0);
    this.#contexts.add(context);
    return context;
  }

  /** Calls an exported function of a module of page/ in that page. What it is given and returns has to be JSON. */
  call(page, module, name, argument) {
    const body = async ([url, name, argument]) => (await import(url))[name](argument);
    return page.evaluate(body, [`/bench/page/${module}`, name, argument]);
  }

  /**
   * Runs `work` and resolves with the milliseconds of each task on the page's main thread meanwhile, as Chromium's trace has
   * them: what a frame or a click would have waited for.
   */
  async tasks(page, work) {
    await this.#browser.startTracing(page, { categories: ["disabled-by-default-devtools.timeline", "devtools.timeline", "toplevel", "__metadata"] });
    let result;
    try {
      result = await work();
    } finally {
      this.trace = JSON.parse(await this.#browser.stopTracing()).traceEvents;
    }
    return { result, tasks: ofMainThread(this.trace, page.url()) };
  }

  /** Starts an optimised relay; it ends with the part. `args`: further options of it. */
  async relay({ args = [] } = {}) {
    const relay = await Relay.start(this.need("CRSQLITE_RELAY"), ["--dev", "--allow-origin", this.origin, ...args]);
    this.#relays.add(relay);
    return relay;
  }

  /** Closes what a part has left open. */
  async tidy() {
    await Promise.all([...this.#contexts].map((context) => context.close()));
    await Promise.all([...this.#relays].map((relay) => relay.close()));
    this.#contexts.clear();
    this.#relays.clear();
  }

  async close() {
    await this.tidy();
    await this.#browser.close();
    this.#site.close();
    this.#site.closeAllConnections();
  }
}

/** A relay with a database file of its own. */
class Relay {
  #process;
  #folder;
  url;

  static async start(program, args) {
    const relay = new Relay();
    relay.#folder = await mkdtemp(join(tmpdir(), "crsqlite-bench-"));
    const places = ["--database", join(relay.#folder, "relay.db"), "--listen", "127.0.0.1:0"];
    relay.#process = spawn(program, [...places, ...args], { stdio: ["ignore", "pipe", "pipe"] });
    relay.url = await new Promise((resolve, reject) => {
      const said = [];
      relay.#process.once("error", reject).once("exit", (code) => reject(new Error(`the relay ended (${code}): ${said.join("\n")}`)));
      for (const stream of [relay.#process.stdout, relay.#process.stderr]) {
        createInterface({ input: stream }).on("line", (line) => {
          said.push(line);
          const [url] = /http:\/\/[^:]+:\d+/.exec(line) ?? [];
          if (url && line.includes("listening on")) resolve(url);
        });
      }
    });
    return relay;
  }

  /** The process, for what it uses. */
  get pid() {
    return this.#process.pid;
  }

  /** The file of its log. */
  get database() {
    return join(this.#folder, "relay.db");
  }

  /** Where a `WsTransport` of the relay protocol connects. */
  get socket() {
    return `${this.url.replace("http", "ws")}/api/v1/sync`;
  }

  /** A token of the user's, for `Authorization: Bearer` outside of browsers. */
  async token(user) {
    const answer = await fetch(`${this.url}/dev/login`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ user }) });
    return /auth_token=([^;]+)/.exec(answer.headers.get("set-cookie"))[1];
  }

  /** Signs a profile's pages in. */
  async signIn(context, user) {
    await context.addCookies([{ name: "auth_token", value: await this.token(user), domain: "127.0.0.1", path: "/" }]);
  }

  async close() {
    if (this.#process.exitCode === null && this.#process.signalCode === null) {
      const gone = once(this.#process, "exit");
      this.#process.kill("SIGKILL");
      await gone;
    }
    await rm(this.#folder, { recursive: true, force: true });
  }
}

/** The site of the pages. Isolated from other origins: clocks of pages are exact to 5 µs then, else to 100. */
async function serve() {
  const answer = async (request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, "http://site").pathname)).replaceAll("\\", "/");
    const [prefix, folder] = Object.entries(FOLDERS).find(([prefix]) => path.startsWith(prefix)) ?? [];
    const content = folder && (await readFile(join(folder, path.slice(prefix.length))).catch(() => undefined));
    if (content === undefined) return response.writeHead(404).end();
    response.setHeader("content-type", TYPES[extname(path)] ?? "application/octet-stream");
    response.setHeader("cross-origin-opener-policy", "same-origin");
    response.setHeader("cross-origin-embedder-policy", "require-corp");
    response.end(content);
  };
  const server = createServer((request, response) => answer(request, response).catch((error) => response.destroy(error)));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

function ofMainThread(events, url) {
  const threads = events.filter(({ name, args }) => name === "thread_name" && args.name === "CrRendererMain");
  // Of several renderers the page's is the one that worked; an idle one has next to nothing.
  const busy = threads.map(({ pid, tid }) => {
    const tasks = events.filter((event) => event.ph === "X" && event.name === "RunTask" && event.pid === pid && event.tid === tid);
    return tasks.map(({ dur }) => dur / 1000);
  });
  const sum = (tasks) => tasks.reduce((all, ms) => all + ms, 0);
  const most = busy.sort((a, b) => sum(b) - sum(a))[0];
  if (!most?.length) throw new Error(`Chromium's trace tells no task of ${url}`);
  return most;
}
