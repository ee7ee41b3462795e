// What the end-to-end tests stand on: a real relay, a real browser, and the demo app driven as a person would.
// Decides no outcome; every test file starts its own `Stage` and closes it.

import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const RELAY = process.env.CRSQLITE_RELAY ?? join(ROOT, "target/debug/crsqlite-relay");
/** The built demo. */
export const APP = process.env.CRSQLITE_SYNC_APP ?? join(ROOT, "www/dist");
const PATIENCE_MS = 20_000;

/** A fresh account, so that tests share a relay and see nothing of each other. */
export const freshUser = () => `e2e-${randomUUID().slice(0, 8)}`;

/** One relay with its database file. It can be killed and started again on the same file and port. */
export class Relay {
  #folder;
  #process;
  #port = 0;
  #app = APP;
  /** What it printed, for the report of a test that fails. */
  output = [];

  /** `app`: the folder of pages that it serves. */
  static async start(app = APP) {
    const relay = new Relay();
    relay.#app = app;
    relay.#folder = await mkdtemp(join(tmpdir(), "crsqlite-relay-"));
    await relay.start();
    return relay;
  }

  get url() {
    return `http://127.0.0.1:${this.#port}/`;
  }

  async start() {
    const database = join(this.#folder, "relay.db");
    const listen = `127.0.0.1:${this.#port}`;
    const args = ["--dev", "--static", this.#app, "--database", database, "--listen", listen];
    this.#process = spawn(RELAY, args, { stdio: ["ignore", "pipe", "pipe"] });
    const started = deferred();
    this.#process.once("error", started.reject);
    this.#process.once("exit", (code) => started.reject(new Error(`the relay ended (${code}):\n${this.output.join("\n")}`)));
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      createInterface({ input: stream }).on("line", (line) => {
        this.output.push(line);
        const port = /listening on http:\/\/[^:]+:(\d+)/.exec(line)?.[1];
        if (port) started.resolve(Number(port));
      });
    }
    this.#port = await started.promise;
  }

  /** SIGSTOP: its sockets stay open, and nothing comes of them any more. */
  freeze() {
    this.#process.kill("SIGSTOP");
  }

  /** SIGCONT */
  thaw() {
    this.#process.kill("SIGCONT");
  }

  /** SIGKILL: no goodbye to any socket, no flush of any file. */
  async kill() {
    if (!this.#process || this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const gone = new Promise((resolve) => this.#process.once("exit", resolve));
    this.#process.kill("SIGKILL");
    await gone;
  }

  async close() {
    await this.kill();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

/** A relay and a browser. */
export class Stage {
  static async open({ app } = {}) {
    const stage = new Stage();
    stage.relay = await Relay.start(app);
    stage.browser = await chromium.launch({
      executablePath: findChrome(),
      // Playwright turns the back-forward cache off; people have it.
      ignoreDefaultArgs: ["--disable-back-forward-cache"],
      args: [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
      ],
    });
    return stage;
  }

  /**
   * A window of its own profile (cookies, storage) with the demo in it: both sides, or one named device. Without its
   * service worker, unless that is what is looked at: it would fetch all files a second time for each profile.
   */
  async visit({ user, device, context, heartbeat, rows }) {
    const profile = context ?? (await this.browser.newContext({ serviceWorkers: "block" }));
    const page = await profile.newPage();
    const visit = new Visit(page, profile, device ? [device] : ["left", "right"]);
    const address = new URL(this.relay.url);
    address.searchParams.set("user", user);
    if (device) address.searchParams.set("device", device);
    if (heartbeat) address.searchParams.set("heartbeat", heartbeat);
    if (rows) address.searchParams.set("rows", rows);
    visit.address = address.href;
    await visit.load();
    return visit;
  }

  async close() {
    await this.browser?.close();
    await this.relay?.close();
  }
}

/** One page and its devices. */
export class Visit {
  /** Everything that a developer would see in red. */
  problems = [];

  constructor(page, context, names) {
    this.page = page;
    this.context = context;
    this.devices = names.map((name) => new DeviceOnPage(page, name));
    [this.left, this.right] = this.devices;
    this.device = this.left;
    page.setDefaultTimeout(PATIENCE_MS);
    page.on("pageerror", (error) => this.problems.push(`uncaught: ${error.message}`));
    page.on("console", (message) => {
      if (message.type() === "error") this.problems.push(message.text());
    });
  }

  async load() {
    await this.page.goto(this.address);
    await this.#opened();
  }

  async reload() {
    await this.page.reload();
    await this.#opened();
  }

  async #opened() {
    await this.page.waitForFunction(() => window.demo !== undefined);
    await this.page.evaluate(() => window.demo.ready);
  }

  /** Waits until the relay has stored all that is committed on every device, and until the status says so and since when. */
  async settled() {
    for (const device of this.devices) {
      await device.stored();
      await device.waitFor((status) => status.state === "live" && status.pendingChanges === 0 && status.lastSyncedAt !== undefined);
    }
  }

  async close() {
    await this.context.close();
  }
}

/** One device's card, used through what a person sees; `status`, `tasks` and `changes` look behind it. */
export class DeviceOnPage {
  constructor(page, name) {
    this.page = page;
    this.name = name;
    this.card = page.locator(`[data-device="${name}"]`);
  }

  async add(title) {
    const input = this.card.getByPlaceholder("Add a task");
    await input.fill(title);
    await input.press("Enter");
    await until(`${this.name} to show "${title}"`, async () => (await this.titles()).includes(title), () => this.titles());
  }

  async rename(title, next) {
    const field = (await this.#row(title)).getByLabel("Title");
    await field.fill(next);
    await field.press("Enter");
    await until(`${this.name} to save "${next}"`, async () => (await this.tasks()).some((task) => task[1] === next));
  }

  async toggle(title) {
    const done = async () => (await this.tasks()).find((task) => task[1] === title)?.[2];
    const before = await done();
    await (await this.#row(title)).getByRole("checkbox").click();
    await until(`${this.name} to save the tick of "${title}"`, async () => (await done()) !== before);
  }

  async remove(title) {
    await (await this.#row(title)).getByRole("button", { name: /^Delete/ }).click();
    await until(`${this.name} to drop "${title}"`, async () => !(await this.titles()).includes(title), () => this.titles());
  }

  async switch(on) {
    await this.card.getByRole("switch").setChecked(on);
  }

  /** What the list shows, from top to bottom. */
  titles() {
    return this.card.locator(".task-title").evaluateAll((fields) => fields.map((field) => field.value));
  }

  /** The words of the badge and the number beside "Pending changes". */
  async shown() {
    return {
      state: await this.card.locator(".badge [role=status]").textContent(),
      pending: Number(await this.card.locator('[data-ref="pending"]').textContent()),
    };
  }

  /** The package's own barrier: what is committed now is stored by the relay. */
  async stored() {
    await this.page.evaluate(
      ([name, patience]) => window.demo.devices[name].client.waitForSynced({ signal: AbortSignal.timeout(patience) }),
      [this.name, PATIENCE_MS],
    );
  }

  status() {
    return this.page.evaluate((name) => ({ ...window.demo.devices[name].client.status }), this.name);
  }

  tasks() {
    return this.page.evaluate(
      (name) => window.demo.devices[name].db.execA("SELECT id, title, done, created_at FROM tasks ORDER BY id"),
      this.name,
    );
  }

  async exec(sql, bind) {
    await this.page.evaluate(([name, sql, bind]) => window.demo.devices[name].db.exec(sql, bind), [this.name, sql, bind]);
  }

  /** The replicated state without what legitimately differs between replicas: clocks of the database, site ids. */
  async changes() {
    const sql = "SELECT [table], hex(pk), cid, quote(val), col_version, cl FROM crsql_changes";
    const rows = await this.page.evaluate(([name, sql]) => window.demo.devices[name].db.execA(sql), [this.name, sql]);
    return rows.map((row) => row.join(" ")).sort();
  }

  async waitFor(condition) {
    await until(`${this.name}: ${condition}`, async () => condition(await this.status()), () => this.status());
  }

  /** Waits until the list shows exactly these titles, in any order. */
  async waitForTitles(expected) {
    const wanted = [...expected].sort().join("\n");
    await until(`${this.name} shows ${expected.length} tasks`, async () => (await this.titles()).sort().join("\n") === wanted, () => this.titles());
  }

  /** Starts a record of every status that the client tells its listeners. `recorded` returns it. */
  async record() {
    await this.page.evaluate((name) => {
      const device = window.demo.devices[name];
      device.recorded = [];
      device.client.on("status", (status) => device.recorded.push({ at: Date.now(), ...status }));
    }, this.name);
  }

  recorded() {
    return this.page.evaluate((name) => window.demo.devices[name].recorded, this.name);
  }

  /** By its key: while it is looked for, another one may come before it. */
  async #row(title) {
    const ids = await this.card.locator(".task").evaluateAll(
      (rows, title) => rows.filter((row) => row.querySelector(".task-title").value === title).map((row) => row.dataset.id),
      title,
    );
    if (ids.length === 0) throw new Error(`${this.name} shows no task "${title}"`);
    return this.card.locator(`.task[data-id="${ids[0]}"]`);
  }
}

/** Asks again and again; a failure says what was seen last. */
export async function until(what, condition, seen = () => undefined, patience = PATIENCE_MS) {
  const deadline = Date.now() + patience;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`waited ${patience} ms for ${what}; seen last: ${JSON.stringify(await seen())}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

export function findChrome() {
  if (process.env.CHROME) return process.env.CHROME;
  const names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
  const folders = (process.env.PATH ?? "").split(delimiter);
  const found = folders.flatMap((folder) => names.map((name) => join(folder, name))).find((path) => existsSync(path));
  if (!found) throw new Error("no Chromium in PATH: set CHROME");
  return found;
}

function deferred() {
  const result = {};
  result.promise = new Promise((resolve, reject) => Object.assign(result, { resolve, reject }));
  return result;
}
