// A server of the push-pull contract inside the process, and transports to it: the smallest SyncTransport there is.
import { device, settled } from "./harness.mjs";

export const T = ["CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, a, b REAL, c TEXT)"];

/** A database whose client was started on such a server; `methods` replaces some of its transport's. */
export async function start(server, options = {}) {
  const made = await device(null, T, { transport: server.transport(options.methods), start: false, ...options });
  await made.client.start();
  return made;
}

export const stop = (...devices) => Promise.all(devices.map(({ client }) => client.stop()));

/** Waits until everything is stored, asked for and equal; returns what all of them hold. */
export async function synced(...devices) {
  for (const { client } of devices) await client.waitForSynced();
  for (const { client } of devices) await client.syncNow();
  return settled(...devices);
}

/** What a call is rejected with. */
export function refusal({ message = "refused", ...fields }) {
  return Object.assign(new Error(message), fields);
}

export class Records {
  records = [];
  /** Cursors of another generation begin from the beginning. */
  generation = 1;
  /** Every batch that was pushed, and the options of every pull. */
  pushes = [];
  pulls = [];
  /** Called before every call, with the batch of a push: an Error rejects it. */
  before = () => true;
  /** Says why a record is refused. */
  refuse = () => false;
  /** Replaces the result of a push. */
  answer;
  seen = () => {};
  calls = 0;
  #names = new Set();
  #listeners = new Set();

  transport(methods = {}) {
    return {
      name: "memory",
      push: (changes, options) => this.#push(changes, options),
      pull: (options) => this.#pull(options),
      onServerPush: (listener) => {
        this.#listeners.add(listener);
        return () => this.#listeners.delete(listener);
      },
      ...methods,
    };
  }

  /** Sends changes to everybody, unasked. */
  tell(changes) {
    for (const listener of [...this.#listeners]) listener(structuredClone(changes));
  }

  async #push(changes, options) {
    await this.#arrive(changes, options);
    this.pushes.push(changes);
    const result = { accepted: [], conflicts: [], errors: [] };
    this.#names = new Set(this.records.map(({ id }) => id));
    for (const change of changes) {
      const error = this.refuse(change);
      if (error) {
        result.errors.push({ id: change.id, error });
        continue;
      }
      if (!this.#names.has(change.id)) this.records.push(structuredClone(change));
      this.#names.add(change.id);
      result.accepted.push({ id: change.id, serverTimestamp: new Date().toISOString() });
    }
    return this.answer?.(result, changes) ?? result;
  }

  async #pull(options) {
    await this.#arrive(undefined, options);
    this.pulls.push(options);
    const [generation, at] = (options.cursor ?? "0:0").split(":").map(Number);
    const from = generation === this.generation ? at : 0;
    const end = Math.min(from + options.batchSize, this.records.length);
    const changes = structuredClone(this.records.slice(from, end));
    return { changes, cursor: `${this.generation}:${end}`, hasMore: end < this.records.length };
  }

  async #arrive(changes, options) {
    this.calls += 1;
    this.seen(options);
    const refused = await this.before(changes);
    if (refused instanceof Error) throw refused;
  }
}
