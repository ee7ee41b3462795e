// The log of one device: rows saved, sent and received, newest first, bounded. Called by the device card.

import type { Traffic } from "../device";
import { count } from "./words";

const KEPT = 60;
const ROWS_SHOWN = 6;
const ARROWS = { saved: "●", sent: "↑", received: "↓" } as const;

export class Log {
  #sent = 0;
  #received = 0;

  constructor(
    private readonly list: HTMLElement,
    private readonly empty: HTMLElement,
    private readonly tally: HTMLElement,
  ) {}

  add(line: Traffic): void {
    if (line.way === "sent") this.#sent += line.rows.length;
    if (line.way === "received") this.#received += line.rows.length;
    this.tally.textContent = `${this.#sent} sent, ${this.#received} received`;
    this.empty.hidden = true;

    const item = document.createElement("li");
    item.className = "log-line";
    item.dataset["way"] = line.way;
    const head = document.createElement("p");
    const arrow = span("log-arrow", ARROWS[line.way]);
    arrow.setAttribute("aria-label", line.way);
    arrow.setAttribute("role", "img");
    head.append(arrow, span("log-what", summary(line)), time(line.at));
    item.append(head);
    for (const row of line.rows.slice(0, ROWS_SHOWN)) {
      const cell = document.createElement("p");
      cell.className = "log-row";
      cell.append(span("log-key", row.key), span("log-column", row.column), span("log-value", row.value));
      item.append(cell);
    }
    if (line.rows.length > ROWS_SHOWN) item.append(span("log-more", `and ${line.rows.length - ROWS_SHOWN} more`));
    item.dataset["at"] = String(line.at);
    // A saved line is read from the database after the fact: it goes below what was sent meanwhile.
    const newer = [...this.list.children].filter((other) => Number((other as HTMLElement).dataset["at"]) > line.at).at(-1);
    if (newer) newer.after(item);
    else this.list.prepend(item);
    while (this.list.childElementCount > KEPT) this.list.lastElementChild?.remove();
  }
}

function summary({ what, rows }: Traffic): string {
  return rows.length === 0 ? what : `${what}, ${count(rows.length, "row")}`;
}

function time(moment: number): HTMLElement {
  const element = document.createElement("time");
  const at = new Date(moment);
  element.dateTime = at.toISOString();
  element.textContent = `${at.toLocaleTimeString("en-GB")}.${String(at.getMilliseconds()).padStart(3, "0")}`;
  return element;
}

function span(className: string, text: string): HTMLElement {
  const element = document.createElement("span");
  element.className = className;
  element.textContent = text;
  return element;
}
