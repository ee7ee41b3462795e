// The card of one device: header with badge and switch, facts, link, list and inspector. Shows what the client says and
// nothing that it guesses. Called by main.

import type { SyncStatus } from "crsqlite-sync";
import type { Device } from "../device";
import type { Quality } from "../link";
import { confirmed } from "./dialog";
import { Inspector } from "./inspector";
import { type AccountActions, problemBox, Problems } from "./problems";
import { ProgressLine } from "./progress";
import type { Sites } from "./row";
import { TaskList } from "./tasks";
import { button, instantiate, type Part, radios, setText } from "./template";
import { milliseconds, sentence, stateWord, synced, verified } from "./words";

export class DeviceCard {
  readonly root: HTMLElement;
  #part: Part;
  #title: string;
  #device: Device | undefined;
  #list: TaskList | undefined;
  #problems: Problems | undefined;
  #progress: ProgressLine;
  #working = false;

  constructor(name: string, title: string, tone: string) {
    const { root, part } = instantiate("device-template");
    this.root = root;
    this.#part = part;
    this.#title = title.toLowerCase();
    this.#progress = new ProgressLine(part);
    root.dataset["device"] = name;
    root.dataset["tone"] = tone;
    const heading = part("name");
    heading.textContent = title;
    heading.id = `${name}-name`;
    root.setAttribute("aria-labelledby", heading.id);
    part("online-label").textContent = `${title} online`;
    part("composer-label").textContent = `New task on ${this.#title}`;
    part("composer-label").setAttribute("for", `${name}-new`);
    part("new-title").id = `${name}-new`;
    part("tasks").ariaLabel = `Tasks on ${this.#title}`;
    part("bar").ariaLabel = `Progress of ${this.#title}`;
    part<HTMLDetailsElement>("inspector").open = matchMedia("(min-width: 880px) and (min-height: 700px)").matches;
  }

  /** Resolves when the list is shown. */
  attach(device: Device, sites: Sites, actions: AccountActions): Promise<void> {
    this.#device = device;
    const part = this.#part;
    const list = new TaskList(part, device, sites);
    this.#list = list;
    this.#problems = new Problems(part("problems"), device, actions);
    new Inspector(part, device, this.#title);
    this.#controls(device, list);

    device.on("status", (status) => this.#show(status));
    device.on("work", (work) => {
      this.#working = work !== undefined;
      this.#progress.work(work);
      this.#show(device.client.status);
    });
    setInterval(() => this.#show(device.client.status), 1000);
    for (const control of this.root.querySelectorAll<HTMLInputElement>(":disabled")) control.disabled = false;
    this.#show(device.client.status);
    return list.refresh();
  }

  #controls(device: Device, list: TaskList): void {
    const part = this.#part;
    const input = part<HTMLInputElement>("new-title");
    part<HTMLFormElement>("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      const title = input.value.trim();
      input.value = "";
      if (title === "") return;
      list.top();
      void device.add(title);
    });
    const online = part<HTMLInputElement>("online");
    online.addEventListener("change", () => void device.setOnline(online.checked));
    radios(part("quality"), `${device.name}-quality`, (quality) => {
      device.link.quality = quality as Quality;
      this.#show(device.client.status);
    });
    part("break").addEventListener("click", () => device.breakLink());
    part("fill").textContent = `Fill with ${device.session.fillRows.toLocaleString("en")}`;
    part("fill").addEventListener("click", () => void device.fill());
    part("clear").addEventListener("click", async () => {
      const text = "On all devices of this account, also on those that are not open now.";
      if (await confirmed("Delete every task?", text, "Delete all")) await device.clear();
    });
  }

  /** Opens the details of one task. */
  open(id: string): void {
    this.#list?.top();
    this.#list?.open(id);
  }

  /** The device did not open: nothing of the card can be used but the way out, where there is one. */
  fail(words: string, startOver?: () => void): void {
    const part = this.#part;
    part("badge").dataset["state"] = "failed";
    setText(part("state"), "Failed");
    setText(part("sentence"), words);
    if (!startOver) return;
    const text = "A new database can take its place. What this account has stored comes from the relay.";
    part("problems").replaceChildren(problemBox([text], false, [button("button small", "Start with a new database", startOver)]));
  }

  #show(status: SyncStatus): void {
    const device = this.#device;
    if (!device) return;
    const now = Date.now();
    const part = this.#part;
    this.#progress.status(status, now);
    this.root.dataset["online"] = String(device.online);
    part<HTMLInputElement>("online").checked = device.online;
    part("badge").dataset["state"] = status.state;
    setText(part("state"), stateWord(status.state));
    setText(part("sentence"), sentence(device, this.#progress.receiving, now));
    setText(part("pending"), status.pendingChanges.toLocaleString("en"));
    part("pending-fact").dataset["waiting"] = String(status.pendingChanges > 0);
    setText(part("synced"), synced(status, now));
    setText(part("verified"), verified(status, now));
    setText(part("round-trip"), milliseconds(status.roundTripMs));
    part<HTMLButtonElement>("break").disabled = status.state !== "live" && status.state !== "catching-up";
    part<HTMLSelectElement>("protocol").disabled = !device.online;
    part<HTMLButtonElement>("fill").disabled = this.#working;
    part<HTMLButtonElement>("clear").disabled = this.#working;
    this.#problems?.show(status);
  }
}
