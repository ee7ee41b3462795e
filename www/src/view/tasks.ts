// The list of one device. Holds a hundred rows around what is in sight, whatever the length of the list; empty space
// stands for the others. Keeps the row that somebody is editing as it is, whatever arrives meanwhile; moves no focus
// unless the focused row is gone. Called by the device card.

import type { Device } from "../device";
import type { Slice, Task } from "../tasks";
import { Row, type Sites } from "./row";
import { calm, type Part } from "./template";
import { count } from "./words";

/** Rows that are there at a time. A shorter list is there as a whole. */
const HELD = 100;
/** As in list.css. */
const ROW_HEIGHT = 44;

export class TaskList {
  #rows = new Map<string, Row>();
  #slice: Slice | undefined;
  #touched = new Set<string>();
  #reading: Promise<void> | undefined;
  #readAgain = false;
  #opened: string | undefined;
  #view: HTMLElement;
  #list: HTMLElement;
  #empty: HTMLElement;
  #count: HTMLElement;
  #clear: HTMLElement;
  #fallback: HTMLElement;

  constructor(
    part: Part,
    private readonly device: Device,
    private readonly sites: Sites,
  ) {
    this.#view = part("view");
    this.#list = part("tasks");
    this.#empty = part("empty");
    this.#count = part("count");
    this.#clear = part("clear");
    this.#fallback = part("new-title");
    device.on("changed", () => void this.refresh());
    device.on("applied", ({ tables }) => {
      for (const [id] of tables["tasks"] ?? []) this.#touched.add(String(id));
    });
    this.#view.addEventListener("scroll", () => this.#isHeld() || void this.refresh(), { passive: true });
  }

  /** Reads the list again and shows it. While one reading runs, any number of calls make one more. */
  refresh(): Promise<void> {
    if (this.#reading) {
      this.#readAgain = true;
      return this.#reading;
    }
    this.#reading = (async () => {
      do {
        this.#readAgain = false;
        const [first, last] = this.#inSight();
        this.#show(await this.device.read(Math.floor((first + last - HELD) / 2), HELD));
      } while (this.#readAgain);
    })().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  /** Opens the details of one task, and closes those of another. */
  open(id: string | undefined): void {
    this.#rows.get(this.#opened ?? "")?.toggle(false);
    this.#opened = id;
    this.#rows.get(id ?? "")?.toggle(true);
  }

  top(): void {
    this.#view.scrollTop = 0;
  }

  #inSight(): [first: number, last: number] {
    const { scrollTop, clientHeight } = this.#view;
    return [Math.floor(scrollTop / ROW_HEIGHT), Math.ceil((scrollTop + clientHeight) / ROW_HEIGHT)];
  }

  #isHeld(): boolean {
    if (!this.#slice) return false;
    const { offset, tasks, count } = this.#slice;
    const [first, last] = this.#inSight();
    return first >= offset && Math.min(last, count) <= offset + tasks.length;
  }

  #show(slice: Slice): void {
    const before = this.#slice;
    this.#slice = slice;
    const { offset, tasks } = slice;
    const held = new Set(tasks.map(({ id }) => id));
    for (const [id, row] of this.#rows) if (!held.has(id)) this.#drop(id, row);
    let next = this.#list.firstElementChild;
    for (const [index, task] of tasks.entries()) {
      const known = this.#rows.get(task.id);
      const row = known ?? this.#make(task);
      row.show(task, this.sites);
      row.root.ariaPosInSet = String(offset + index + 1);
      row.root.ariaSetSize = String(slice.count);
      if (row.root === next) next = next.nextElementSibling;
      else this.#list.insertBefore(row.root, next);
      if (!known && before?.count === slice.count - 1) slideIn(row.root);
    }
    this.#list.style.paddingTop = `${offset * ROW_HEIGHT}px`;
    this.#list.style.paddingBottom = `${(slice.count - offset - tasks.length) * ROW_HEIGHT}px`;
    this.#empty.hidden = slice.count > 0;
    this.#view.hidden = slice.count === 0;
    this.#clear.hidden = slice.count === 0;
    this.#count.textContent = slice.count === 0 ? "" : `${count(slice.count, "task")}, ${slice.open.toLocaleString("en")} open`;
    for (const id of this.#touched) this.#rows.get(id)?.glow();
    this.#touched.clear();
  }

  #make(task: Task): Row {
    const row = new Row(task, this.device, () => this.open(this.#opened === task.id ? undefined : task.id));
    this.#rows.set(task.id, row);
    if (this.#opened === task.id) row.toggle(true);
    return row;
  }

  #drop(id: string, row: Row): void {
    const hadFocus = row.root.contains(document.activeElement);
    const next = row.root.nextElementSibling ?? row.root.previousElementSibling;
    row.commit();
    this.#rows.delete(id);
    row.root.remove();
    if (hadFocus) (next?.querySelector<HTMLElement>(".task-delete") ?? this.#fallback).focus({ preventScroll: true });
  }
}

function slideIn(root: HTMLElement): void {
  if (calm.matches) return;
  root.animate({ opacity: [0, 1], transform: ["translateY(-6px)", "none"] }, { duration: 220, easing: "ease-out" });
}
