// The line that says how far something long has come: a write of ten thousand rows here, what is still to be sent, what
// is still to come. Called by the device card.

import type { SyncStatus } from "crsqlite-sync";
import type { Work } from "../device";
import { type Part, setText } from "./template";

/** Less than this is over before anybody has read it. */
const WORTH_SHOWING = 500;
/** So long after the last of a stream of changes, it is over. */
const STREAM_MS = 3000;

export class ProgressLine {
  #root: HTMLElement;
  #bar: HTMLProgressElement;
  #words: HTMLElement;
  #work: Work | undefined;
  #mostPending = 0;
  #mostRemaining = 0;
  #received = { at: 0, changes: 0, since: 0 };

  constructor(part: Part) {
    this.#root = part("work");
    this.#bar = part<HTMLProgressElement>("bar");
    this.#words = part("work-words");
  }

  /** Many changes have come, and may not all be applied yet: the client tells no end of that. */
  get receiving(): boolean {
    return this.#received.changes - this.#received.since >= WORTH_SHOWING;
  }

  work(work: Work | undefined): void {
    this.#work = work;
  }

  status({ pendingChanges, state, progress }: SyncStatus, now: number): void {
    const remaining = progress.remainingVersions ?? 0;
    this.#mostPending = pendingChanges === 0 ? 0 : Math.max(this.#mostPending, pendingChanges);
    this.#mostRemaining = remaining === 0 ? 0 : Math.max(this.#mostRemaining, remaining);
    const streamed = this.#stream(progress.received, now);

    const number = (value: number): string => value.toLocaleString("en");
    if (this.#work) {
      const { what, done, total } = this.#work;
      const words = total <= 1 ? "Starting" : `${number(done)} of ${number(total)} rows ${what === "fill" ? "written" : "deleted"}`;
      this.#show(total <= 1 ? undefined : done / total, words);
    } else if (this.#mostPending >= WORTH_SHOWING) {
      const waiting = state === "live" || state === "catching-up" ? "to send" : "wait for a connection";
      this.#show(1 - pendingChanges / this.#mostPending, `${number(pendingChanges)} changes ${waiting}`);
    } else if (this.#mostRemaining >= WORTH_SHOWING) {
      this.#show(1 - remaining / this.#mostRemaining, `${number(remaining)} changes to come`);
    } else if (streamed >= WORTH_SHOWING) {
      this.#show(undefined, `${number(streamed)} changes have come`);
    } else {
      this.#root.hidden = true;
    }
  }

  /** How much has come since it began to, until nothing comes for a while. The count begins anew with each connection. */
  #stream(received: number, now: number): number {
    const last = this.#received;
    if (received > last.changes) last.at = now;
    if (received < last.changes || now - last.at > STREAM_MS) last.since = received;
    last.changes = received;
    return received - last.since;
  }

  #show(share: number | undefined, words: string): void {
    this.#root.hidden = false;
    if (share === undefined) this.#bar.removeAttribute("value");
    else this.#bar.value = share;
    setText(this.#words, words);
  }
}
