// One page of notes in one engine, used as a person would: the form, the list, the state; `edit`, `remove` and `changes`
// look behind it. Decides nothing about what is true; every wait is bounded and says what it saw last.

import assert from "node:assert/strict";
import { until } from "../../e2e/harness.mjs";

export class Visit {
  #page;
  #isClosed = false;

  /** `name`: of its database; `link`: its line to the relay. */
  static async open(engine, app, { name, link }) {
    const visit = new Visit();
    visit.name = name;
    visit.link = link;
    visit.app = app;
    visit.#page = await engine.newPage();
    const address = new URL(app.url);
    address.searchParams.set("name", name);
    address.searchParams.set("relay", link.url);
    await visit.#page.goto(address.href);
    await visit.#opened();
    return visit;
  }

  async reload() {
    await this.#page.reload();
    await this.#opened();
  }

  async #opened() {
    const hook = () => this.#page.run(() => document.documentElement.dataset.notes ?? "");
    await until("the notes to open", async () => (await hook()) !== "", async () => [await hook(), this.#page.problems]);
    assert.equal(await hook(), "open");
  }

  async add(body) {
    await this.#page.run((body) => {
      const form = document.querySelector("form");
      // The way of a keyboard: React hears of a value by the event only.
      form.elements.body.value = body;
      form.elements.body.dispatchEvent(new Event("input", { bubbles: true }));
      form.requestSubmit();
    }, body);
  }

  edit(body, next) {
    return this.#page.run((body, next) => window.notes.edit(body, next), body, next);
  }

  remove(body) {
    return this.#page.run((body) => window.notes.remove(body), body);
  }

  rows() {
    return this.#page.run(() => window.notes.rows());
  }

  changes() {
    return this.#page.run(() => window.notes.changes());
  }

  status() {
    return this.#page.run(() => window.notes.status());
  }

  /** Waits until the list shows exactly these. */
  async shows(...bodies) {
    const list = () => this.#page.run(() => [...document.querySelectorAll("li")].map((item) => item.textContent));
    await until(`the list of ${this.name}`, async () => (await list()).join("\n") === bodies.join("\n"), list);
  }

  /** Waits until the page says one of these. */
  async becomes(...states) {
    const said = () => this.#page.run(() => document.querySelector("output").textContent);
    await until(`${this.name} to be ${states.join(" or ")}`, async () => states.includes(await said()), said);
  }

  async settled() {
    await until(`${this.name} to have sent all`, async () => (await this.status()).pendingChanges === 0, () => this.status());
    await this.becomes("live");
  }

  /** Nothing on the console, nothing refused by the policy. `besides`: what the test itself has caused. */
  assertClean(besides = /^$/) {
    assert.deepEqual(this.#page.problems.filter((problem) => !besides.test(problem)), []);
    assert.deepEqual(this.app.site.violations?.filter(({ page }) => page.includes(this.name)) ?? [], []);
  }

  async close() {
    if (!this.#isClosed) await this.#page.close();
    this.#isClosed = true;
  }
}
