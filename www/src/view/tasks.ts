// The list of one device. Keeps the row that somebody is editing as it is, whatever arrives meanwhile; moves no focus
// unless the focused row is gone. Called by the device card.

import type { Device, Task } from "../device";
import { calm, instantiate } from "./template";

const touch = matchMedia("(pointer: coarse)");

/** Names a site on this page, for its colour and for the words beside it. */
export type Sites = (site: string | undefined) => { readonly tone: string; readonly name: string };

interface Row {
  task: Task;
  readonly root: HTMLElement;
  readonly done: HTMLInputElement;
  readonly title: HTMLTextAreaElement;
  readonly writer: HTMLElement;
  readonly remove: HTMLButtonElement;
}

export class TaskList {
  #rows = new Map<string, Row>();
  #first = true;

  constructor(
    private readonly list: HTMLElement,
    private readonly empty: HTMLElement,
    private readonly device: Device,
    private readonly sites: Sites,
    private readonly fallback: HTMLElement,
  ) {}

  render(tasks: readonly Task[]): void {
    const kept = new Set(tasks.map((task) => task.id));
    for (const [id, row] of this.#rows) if (!kept.has(id)) this.#drop(id, row);
    let before: HTMLElement | null = this.list.firstElementChild as HTMLElement | null;
    for (const task of tasks) {
      const known = this.#rows.get(task.id);
      const row = known ?? this.#make(task);
      this.#fill(row, task);
      if (row.root === before) before = before.nextElementSibling as HTMLElement | null;
      else this.list.insertBefore(row.root, before);
      if (!known && !this.#first) slideIn(row.root);
    }
    for (const row of this.#rows.values()) fit(row.title);
    this.empty.hidden = tasks.length > 0;
    this.#first = false;
  }

  /** Makes rows that a remote device touched glow once. */
  glow(ids: Iterable<string>): void {
    if (calm.matches) return;
    for (const id of ids) {
      const root = this.#rows.get(id)?.root;
      root?.animate([{ backgroundColor: "var(--glow)" }, { backgroundColor: "transparent" }], { duration: 1400, easing: "ease-out" });
    }
  }

  #make(task: Task): Row {
    const { root, part } = instantiate("task-template");
    const row: Row = {
      task,
      root,
      done: part<HTMLInputElement>("done"),
      title: part<HTMLTextAreaElement>("title"),
      writer: part("writer"),
      remove: part<HTMLButtonElement>("delete"),
    };
    root.dataset["id"] = task.id;
    row.title.value = task.title;
    row.title.setAttribute("aria-label", "Title");
    row.done.addEventListener("change", () => void this.device.setDone(task.id, row.done.checked));
    row.remove.addEventListener("click", () => void this.device.remove(task.id));
    row.title.addEventListener("input", () => fit(row.title));
    row.title.addEventListener("blur", () => this.#commit(row));
    row.title.addEventListener("keydown", (event) => {
      if (event.key === "Escape") row.title.value = row.task.title;
      else if (event.key === "Enter") this.#commit(row);
      else return;
      event.preventDefault();
      // On a phone the keyboard goes away; with a keyboard the focus stays where the user is.
      if (touch.matches) row.title.blur();
    });
    this.#rows.set(task.id, row);
    return row;
  }

  #fill(row: Row, task: Task): void {
    const editing = document.activeElement === row.title && row.title.value !== row.task.title;
    row.task = task;
    if (!editing && row.title.value !== task.title) row.title.value = task.title;
    row.done.checked = task.done;
    row.root.dataset["done"] = String(task.done);
    const title = this.sites(task.titleBy);
    const done = this.sites(task.doneBy);
    row.writer.dataset["tone"] = title.tone;
    row.writer.title = `Title written by ${title.name}`;
    row.done.dataset["tone"] = done.tone;
    row.done.setAttribute("aria-label", `Done: ${task.title}`);
    row.remove.setAttribute("aria-label", `Delete: ${task.title}`);
  }

  #commit(row: Row): void {
    const title = row.title.value.replace(/\s+/g, " ").trim();
    if (title === "" || title === row.task.title) row.title.value = row.task.title;
    else void this.device.rename(row.task.id, title);
    fit(row.title);
  }

  #drop(id: string, row: Row): void {
    const hadFocus = row.root.contains(document.activeElement);
    const next = row.root.nextElementSibling ?? row.root.previousElementSibling;
    this.#rows.delete(id);
    row.root.remove();
    if (hadFocus) (next?.querySelector<HTMLElement>("button") ?? this.fallback).focus();
  }
}

/** A title is as high as its text. Browsers with `field-sizing` do that by themselves. */
function fit(title: HTMLTextAreaElement): void {
  if (CSS.supports("field-sizing", "content")) return;
  title.style.height = "auto";
  title.style.height = `${title.scrollHeight}px`;
}

function slideIn(root: HTMLElement): void {
  if (calm.matches) return;
  root.animate({ opacity: [0, 1], transform: ["translateY(-6px)", "none"] }, { duration: 220, easing: "ease-out" });
}
