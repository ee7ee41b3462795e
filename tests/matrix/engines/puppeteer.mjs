// Chromium and Firefox, both through puppeteer: the first over its own protocol, the second over WebDriver BiDi. Decides
// the flags and preferences with which a browser is alone with the test. Called by index.mjs, which says what a page is.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { launch as start } from "puppeteer-core";

// Nothing but this machine is reached, and nothing is fetched in the background.
const CHROMIUM = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-dev-shm-usage",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
];

const FIREFOX = {
  "services.settings.server": "data:,#remote-settings-dummy/v1",
  // A tab behind another one keeps its timers: two of them are two devices here, and both are in use.
  "dom.min_background_timeout_value": 4,
  "dom.min_background_timeout_value_without_budget_throttling": 4,
  "dom.timeout.enable_budget_timer_throttling": false,
};

export class PuppeteerEngine {
  #browser;
  #folder;

  static async launch(name, executablePath) {
    const engine = new PuppeteerEngine();
    engine.name = name;
    engine.#folder = await mkdtemp(join(tmpdir(), `crsqlite-${name}-`));
    engine.#browser = await start({
      executablePath,
      headless: true,
      userDataDir: engine.#folder,
      ...(name === "firefox"
        ? { browser: "firefox", extraPrefsFirefox: FIREFOX, env: { ...process.env, MOZ_REMOTE_SETTINGS_DEVTOOLS: "1" } }
        : { args: CHROMIUM }),
    });
    engine.version = (await engine.#browser.version()).replace("/", " ");
    return engine;
  }

  async newPage() {
    return new PuppeteerPage(await this.#browser.newPage());
  }

  async close() {
    await this.#browser.close();
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

class PuppeteerPage {
  /** What a developer would see in red, as far as the engine tells it. */
  problems = [];
  #page;

  constructor(page) {
    this.#page = page;
    page.on("pageerror", (error) => this.problems.push(`uncaught: ${error.message ?? error}`));
    page.on("console", (message) => {
      // A browser asks for an icon by itself, and none of the apps has one.
      const isIcon = message.location()?.url?.endsWith("/favicon.ico");
      if (message.type() === "error" && !isIcon) this.problems.push(message.text());
    });
  }

  goto(address) {
    return this.#page.goto(address, { waitUntil: "load" });
  }

  reload() {
    return this.#page.reload({ waitUntil: "load" });
  }

  run(body, ...args) {
    return this.#page.evaluate(body, ...args);
  }

  close() {
    return this.#page.close();
  }
}
