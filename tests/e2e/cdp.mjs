// A browser without the emulation that playwright brings: a tab behind another one is hidden, and can be frozen. Knows of
// a page what the tests of tabs use; talks to Chromium's own protocol.

import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { WebSocket } from "ws";
import { findChrome, until } from "./harness.mjs";

export class BareBrowser {
  #process;
  #folder;
  #socket;
  #last = 0;
  #waiting = new Map();

  static async launch() {
    const browser = new BareBrowser();
    browser.#folder = await mkdtemp(join(tmpdir(), "crsqlite-chromium-"));
    const flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--remote-debugging-port=0"];
    browser.#process = spawn(findChrome(), [...flags, `--user-data-dir=${browser.#folder}`, "about:blank"], { stdio: ["ignore", "ignore", "pipe"] });
    const address = await new Promise((resolve, reject) => {
      browser.#process.once("exit", (code) => reject(new Error(`Chromium ended (${code})`)));
      createInterface({ input: browser.#process.stderr }).on("line", (line) => {
        const found = /DevTools listening on (\S+)/.exec(line)?.[1];
        if (found) resolve(found);
      });
    });
    browser.#socket = new WebSocket(address);
    await new Promise((resolve, reject) => browser.#socket.once("open", resolve).once("error", reject));
    browser.#socket.on("message", (data) => browser.#heard(JSON.parse(data)));
    return browser;
  }

  send(method, params = {}, sessionId = undefined) {
    return new Promise((resolve, reject) => {
      this.#waiting.set((this.#last += 1), { resolve, reject });
      this.#socket.send(JSON.stringify({ id: this.#last, method, params, sessionId }));
    });
  }

  #heard({ id, result, error }) {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error) waiting?.reject(new Error(error.message));
    else waiting?.resolve(result);
  }

  async newPage() {
    const { targetId } = await this.send("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await this.send("Target.attachToTarget", { targetId, flatten: true });
    return new BarePage(this, targetId, sessionId);
  }

  async close() {
    const gone = new Promise((resolve) => this.#process.once("exit", resolve));
    this.#process.kill("SIGKILL");
    await gone;
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

class BarePage {
  #browser;
  #target;
  #session;

  constructor(browser, target, session) {
    this.#browser = browser;
    this.#target = target;
    this.#session = session;
  }

  on() {}

  async goto(url) {
    await this.#send("Page.navigate", { url });
  }

  async evaluate(body, argument) {
    const expression = `(${body})(${JSON.stringify(argument) ?? ""})`;
    const { result, exceptionDetails } = await this.#send("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  async waitForFunction(body) {
    const holds = `() => Boolean((${body})())`;
    await until(String(body), () => this.evaluate(holds).catch(() => false));
  }

  /** In front, and so the others are hidden. */
  async show() {
    await this.#browser.send("Target.activateTarget", { targetId: this.#target });
  }

  /** What a browser does to hidden tabs; the page hears it, then nothing of it runs. */
  freeze() {
    return this.#send("Page.setWebLifecycleState", { state: "frozen" });
  }

  thaw() {
    return this.#send("Page.setWebLifecycleState", { state: "active" });
  }

  async close() {
    await this.#browser.send("Target.closeTarget", { targetId: this.#target });
  }

  #send(method, params) {
    return this.#browser.send(method, params, this.#session);
  }
}
