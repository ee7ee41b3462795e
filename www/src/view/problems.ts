// What needs somebody: a client that has stopped, rows that were not taken, an error that does not heal by itself. Each
// with the way out. Called by the device card.

import type { KeptRow, SyncError, SyncStatus } from "crsqlite-sync";
import type { Device } from "../device";
import { addressOf } from "../session";
import { button, make } from "./template";
import { count, reasonWords } from "./words";

/** What only the whole page can do. */
export interface AccountActions {
  signInAs(user: string): Promise<void>;
}

interface Problem {
  readonly text: readonly (string | Node)[];
  readonly bad: boolean;
  readonly ways: readonly HTMLElement[];
}

export class Problems {
  #error: SyncError | undefined;
  #shown = "";

  constructor(
    private readonly root: HTMLElement,
    private readonly device: Device,
    private readonly actions: AccountActions,
  ) {
    device.on("error", (error) => {
      if (!error.retryable) this.#error = error;
      this.show(device.client.status);
    });
  }

  show(status: SyncStatus): void {
    const { session } = this.device;
    // What has stopped the client is told by its state, for as long as that lasts.
    if (status.state === "failed" && this.#error?.code === status.reason) this.#error = undefined;
    const word = JSON.stringify([status.state === "failed" && status.reason, session.signedInAs, status.quarantined, status.rejected, this.#error?.message]);
    // Built again only when it says something else: people are about to press its buttons.
    if (word === this.#shown) return;
    this.#shown = word;
    this.root.replaceChildren(
      ...this.#all(status).map(({ text, bad, ways }) => problemBox(text, bad, ways)),
    );
  }

  #all(status: SyncStatus): Problem[] {
    const problems: Problem[] = [];
    if (status.state === "failed") problems.push(status.reason === "account-changed" ? this.#accountChanged() : this.#stopped(status));
    if (status.quarantined > 0) {
      const text = `${count(status.quarantined, "cell")} from elsewhere did not fit here and ${isAre(status.quarantined)} kept aside.`;
      problems.push(this.#aside(text, this.device.client.quarantine()));
    }
    if (status.rejected > 0) {
      problems.push(this.#aside(`The relay has refused ${count(status.rejected, "cell")} of this device.`, this.device.client.rejected()));
    }
    if (this.#error) problems.push(this.#told(this.#error));
    return problems;
  }

  #accountChanged(): Problem {
    const { user, signedInAs } = this.device.session;
    const open = make("a", "button quiet small", `Open ${signedInAs}’s own tasks`);
    open.href = addressOf(signedInAs);
    return {
      text: [`account-changed: these tasks were synced as “${user}”, and the relay now says “${signedInAs}”. Nothing is sent or applied until you choose.`],
      bad: true,
      ways: [
        button("button small", `Sign in as ${user} again`, () => this.actions.signInAs(user)),
        open,
        button("button quiet small", `Merge them into ${signedInAs}’s`, () => this.device.client.acceptAccount()),
      ],
    };
  }

  #stopped(status: SyncStatus): Problem {
    return {
      text: [`Stopped. ${reasonWords(status.reason)}`],
      bad: true,
      ways: [button("button small", "Start again", () => this.device.startAgain())],
    };
  }

  /** The codes, which the README explains, follow when they are read. */
  #aside(text: string, rows: Promise<readonly KeptRow[]>): Problem {
    const codes = make("code", "");
    void rows.then((kept) => codes.append([...new Set(kept.map(({ code }) => code))].join(", ")));
    return { text: [text, " ", codes], bad: false, ways: [button("button quiet small", "Try again", () => this.device.client.retry())] };
  }

  #told(error: SyncError): Problem {
    const dismiss = (): void => {
      this.#error = undefined;
      this.show(this.device.client.status);
    };
    return { text: [`${error.code}: ${error.message}`], bad: true, ways: [button("button quiet small", "Dismiss", dismiss)] };
  }
}

const isAre = (number: number): string => (number === 1 ? "is" : "are");

export function problemBox(text: Problem["text"], bad: boolean, ways: Problem["ways"]): HTMLElement {
  const box = make("div", "problem", make("p", "", ...text), make("p", "problem-ways", ...ways));
  box.dataset["bad"] = String(bad);
  return box;
}
