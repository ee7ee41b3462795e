// One task in the list: its tick, its title, and more of it when opened. Writes one column at a time. Called by the list.

import type { Device } from "../device";
import { PRIORITIES, type Task } from "../tasks";
import { calm, instantiate, make, radios } from "./template";

const touch = matchMedia("(pointer: coarse)");

/** Names a site on this page, for its colour and for the words beside it. */
export type Sites = (site: string | undefined) => { readonly tone: string; readonly name: string };

/** The columns that people edit, in the order in which they are told. */
const COLUMNS = ["title", "done", "priority", "notes"];

let groups = 0;

export class Row {
  readonly root: HTMLElement;
  #task: Task;
  #sites: Sites | undefined;
  #done: HTMLInputElement;
  #title: HTMLInputElement;
  #flag: HTMLElement;
  #noted: HTMLElement;
  #marks: HTMLElement;
  #more: HTMLButtonElement;
  #delete: HTMLButtonElement;
  #details: Details | undefined;

  constructor(
    task: Task,
    private readonly device: Device,
    opened: () => void,
  ) {
    const { root, part } = instantiate("task-template");
    this.root = root;
    this.#task = task;
    this.#done = part<HTMLInputElement>("done");
    this.#title = part<HTMLInputElement>("title");
    this.#flag = part("flag");
    this.#noted = part("noted");
    this.#marks = part("marks");
    this.#more = part<HTMLButtonElement>("more");
    this.#delete = part<HTMLButtonElement>("delete");
    root.dataset["id"] = task.id;
    this.#title.value = task.title;
    this.#title.setAttribute("aria-label", "Title");
    this.#done.addEventListener("change", () => void device.edit(task.id, { done: this.#done.checked }));
    this.#more.addEventListener("click", opened);
    this.#delete.addEventListener("click", () => void device.remove(task.id));
    this.#title.addEventListener("blur", () => this.commit());
    this.#title.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.#title.value = this.#task.title;
      else if (event.key === "Enter") this.commit();
      else return;
      event.preventDefault();
      // On a phone the keyboard goes away; with a keyboard the focus stays where the user is.
      if (touch.matches) this.#title.blur();
    });
  }

  show(task: Task, sites: Sites): void {
    const editing = document.activeElement === this.#title && this.#title.value !== this.#task.title;
    this.#task = task;
    this.#sites = sites;
    if (!editing && this.#title.value !== task.title) this.#title.value = task.title;
    this.#done.checked = task.done;
    this.#done.dataset["tone"] = sites(task.writers["done"]).tone;
    this.#done.setAttribute("aria-label", `Done: ${task.title}`);
    this.#more.setAttribute("aria-label", `Details: ${task.title}`);
    this.#delete.setAttribute("aria-label", `Delete: ${task.title}`);
    this.root.dataset["done"] = String(task.done);
    this.#flag.hidden = task.priority === 0;
    this.#flag.dataset["priority"] = PRIORITIES[task.priority] ?? "high";
    this.#flag.textContent = PRIORITIES[task.priority] ?? "high";
    this.#noted.toggleAttribute("hidden", task.notes === "");
    this.#mark(sites);
    this.#details?.show(task, sites);
  }

  /** Writes the title, if it was edited. */
  commit(): void {
    const title = this.#title.value.replace(/\s+/g, " ").trim();
    if (title === "" || title === this.#task.title) this.#title.value = this.#task.title;
    else void this.device.edit(this.#task.id, { title });
  }

  toggle(open: boolean): void {
    this.#more.ariaExpanded = String(open);
    this.#details?.root.remove();
    this.#details = open ? new Details(this.#task, this.device) : undefined;
    if (!this.#details) return;
    this.root.append(this.#details.root);
    if (this.#sites) this.#details.show(this.#task, this.#sites);
  }

  /** Once, when another device has changed it. */
  glow(): void {
    if (calm.matches) return;
    this.root.animate([{ backgroundColor: "var(--glow)" }, { backgroundColor: "transparent" }], { duration: 1400, easing: "ease-out" });
  }

  /** A dot for each device whose value stands somewhere in the row. */
  #mark(sites: Sites): void {
    const names = new Map(COLUMNS.map((column) => sites(this.#task.writers[column])).map(({ tone, name }) => [name, tone]));
    const label = `Written by ${[...names.keys()].join(" and ")}`;
    if (this.#marks.ariaLabel === label) return;
    this.#marks.ariaLabel = label;
    this.#marks.title = label;
    this.#marks.replaceChildren(
      ...[...names.values()].map((tone) => {
        const dot = make("span", "dot");
        dot.dataset["tone"] = tone;
        return dot;
      }),
    );
  }
}

/** What a row shows when it is open: priority, notes, and which device wrote what. */
class Details {
  readonly root: HTMLElement;
  #task: Task;
  #priority: HTMLInputElement[];
  #notes: HTMLTextAreaElement;
  #provenance: HTMLElement;

  constructor(task: Task, device: Device) {
    const { root, part } = instantiate("more-template");
    this.root = root;
    this.#task = task;
    this.#priority = radios(part("priority"), `priority-${(groups += 1)}`, (value) => void device.edit(task.id, { priority: Number(value) }));
    this.#notes = part<HTMLTextAreaElement>("notes");
    this.#provenance = part("provenance");
    this.#notes.value = task.notes;
    this.#notes.addEventListener("change", () => void device.edit(task.id, { notes: this.#notes.value.trim() }));
  }

  show(task: Task, sites: Sites): void {
    const editing = document.activeElement === this.#notes && this.#notes.value !== this.#task.notes;
    this.#task = task;
    if (!editing && this.#notes.value !== task.notes) this.#notes.value = task.notes;
    for (const input of this.#priority) input.checked = Number(input.value) === task.priority;
    const wrote = new Map<string, { tone: string; columns: string[] }>();
    for (const column of COLUMNS) {
      const { tone, name } = sites(task.writers[column]);
      const known = wrote.get(name);
      if (known) known.columns.push(column);
      else wrote.set(name, { tone, columns: [column] });
    }
    this.#provenance.replaceChildren(
      ...[...wrote].map(([name, { tone, columns }]) => {
        const line = make("span", "", make("span", "dot"), ` ${columns.join(", ")} by ${name}`);
        line.dataset["tone"] = tone;
        return line;
      }),
    );
  }
}
