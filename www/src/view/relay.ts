// The relay between the cards: whether it is there, what passes through, how long the last change took. Infers all of
// it from the devices on this page; asks nobody. Called by main.

import type { SyncStatus } from "crsqlite-sync";
import { calm, instantiate, setText } from "./template";
import { milliseconds } from "./words";

/** Which end of the line a device is at. */
export type End = "start" | "end";

const MOST_PACKETS = 12;

const WORDS = { up: "Connected", down: "Not reachable", tab: "Through another tab", idle: "Nobody connected" };

export class RelayView {
  readonly root: HTMLElement;
  #line: HTMLElement;
  #node: HTMLElement;
  #state: HTMLElement;
  #hop: HTMLElement;
  #hopMs: HTMLElement;
  #hopWay: HTMLElement;
  #ends = new Map<End, { status: SyncStatus; online: boolean }>();

  constructor() {
    const { root, part } = instantiate("relay-template");
    this.root = root;
    this.#line = part("line");
    this.#node = part("node");
    this.#state = part("state");
    this.#hop = part("hop");
    this.#hopMs = part("hop-ms");
    this.#hopWay = part("hop-way");
  }

  show(end: End, status: SyncStatus, online: boolean): void {
    this.#ends.set(end, { status, online });
    const ends = [...this.#ends.values()];
    const wanted = ends.filter(({ online, status }) => online && status.state !== "stopped" && status.state !== "failed");
    let state: keyof typeof WORDS = "idle";
    if (wanted.length > 0) state = "down";
    if (wanted.some(({ status }) => status.state === "standby")) state = "tab";
    if (wanted.some(({ status }) => isConnected(status))) state = "up";
    this.root.dataset["state"] = state;
    setText(this.#state, WORDS[state]);
    for (const [name, { status, online }] of this.#ends) {
      this.root.dataset[name] = online && isConnected(status) ? "on" : "off";
    }
  }

  /** A frame with rows in it: a dot runs along the line. */
  packet(end: End, way: "sent" | "received", tone: string): void {
    if (calm.matches || this.#line.childElementCount >= MOST_PACKETS) return;
    const upright = this.#line.clientHeight > this.#line.clientWidth;
    const length = upright ? this.#line.clientHeight : this.#line.clientWidth;
    const outside = end === "start" ? 0 : length;
    const [from, to] = way === "sent" ? [outside, length / 2] : [length / 2, outside];
    const dot = document.createElement("span");
    dot.className = "packet";
    dot.dataset["tone"] = tone;
    this.#line.append(dot);
    const place = (at: number): string => (upright ? `translate(0, ${at}px)` : `translate(${at}px, 0)`);
    dot.animate([{ transform: place(from) }, { transform: place(to) }], { duration: 420, easing: "ease-in-out" }).finished.then(
      () => dot.remove(),
      () => dot.remove(),
    );
    if (way === "sent") this.#node.animate([{ scale: 1 }, { scale: 1.07 }, { scale: 1 }], { duration: 260, delay: 340 });
  }

  hop(ms: number, way: string): void {
    this.#hop.hidden = false;
    setText(this.#hopMs, milliseconds(ms));
    setText(this.#hopWay, way);
  }
}

function isConnected({ state }: SyncStatus): boolean {
  return state === "live" || state === "catching-up";
}
