// The card of one device: header with badge and switch, facts, list and log. Shows what the client says and nothing
// that it guesses. Called by main.

import type { SyncStatus } from "crsqlite-sync";
import type { Device } from "../device";
import { Log } from "./log";
import { type Sites, TaskList } from "./tasks";
import { instantiate, setText } from "./template";
import { milliseconds, sentence, stateWord, synced } from "./words";

export class DeviceCard {
  readonly root: HTMLElement;
  #part: <T extends HTMLElement = HTMLElement>(name: string) => T;
  #device: Device | undefined;

  constructor(name: string, title: string, tone: string) {
    const { root, part } = instantiate("device-template");
    this.root = root;
    this.#part = part;
    root.dataset["device"] = name;
    root.dataset["tone"] = tone;
    const heading = part("name");
    heading.textContent = title;
    heading.id = `${name}-name`;
    root.setAttribute("aria-labelledby", heading.id);
    part("online-label").textContent = `${title} online`;
    part("composer-label").textContent = `New task on ${title.toLowerCase()}`;
    part("composer-label").setAttribute("for", `${name}-new`);
    part("new-title").id = `${name}-new`;
    part("tasks").setAttribute("aria-label", `Tasks on ${title.toLowerCase()}`);
    part("log").setAttribute("aria-label", `Changes going by, ${title.toLowerCase()}`);
    part<HTMLDetailsElement>("traffic").open = matchMedia("(min-width: 760px)").matches;
  }

  attach(device: Device, sites: Sites): void {
    this.#device = device;
    const input = this.#part<HTMLInputElement>("new-title");
    const online = this.#part<HTMLInputElement>("online");
    const list = new TaskList(this.#part("tasks"), this.#part("empty"), device, sites, input);
    const log = new Log(this.#part("log"), this.#part("log-empty"), this.#part("tally"));

    this.#part<HTMLFormElement>("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      const title = input.value.trim();
      input.value = "";
      if (title !== "") void device.add(title);
    });
    online.addEventListener("change", () => void device.setOnline(online.checked));

    let touched: string[] = [];
    device.on("applied", ({ tables }) => touched.push(...(tables["tasks"] ?? []).map(([id]) => String(id))));
    device.on("tasks", (tasks) => {
      list.render(tasks);
      list.glow(touched);
      touched = [];
    });
    device.on("traffic", (line) => log.add(line));
    device.on("status", (status) => this.#show(status));
    setInterval(() => this.#show(device.client.status), 1000);

    for (const control of [input, online, this.#part<HTMLButtonElement>("add")]) control.disabled = false;
    this.#show(device.client.status);
  }

  fail(problem: unknown): void {
    this.#part("badge").dataset["state"] = "failed";
    setText(this.#part("state"), "Failed");
    setText(this.#part("sentence"), `The database did not open: ${problem instanceof Error ? problem.message : String(problem)}`);
  }

  #show(status: SyncStatus): void {
    const now = Date.now();
    const switchedOn = this.#device?.online ?? true;
    this.root.dataset["online"] = String(switchedOn);
    this.#part("badge").dataset["state"] = status.state;
    setText(this.#part("state"), stateWord(status.state));
    setText(this.#part("sentence"), sentence(status, switchedOn, now));
    setText(this.#part("pending"), String(status.pendingChanges));
    this.#part("pending-fact").dataset["waiting"] = String(status.pendingChanges > 0);
    setText(this.#part("synced"), synced(status, now));
    setText(this.#part("round-trip"), milliseconds(status.roundTripMs));
  }
}
