// What a client of a world is given to speak through: a MessageTransport over the world's network, and a SyncTransport
// over calls that may be late, refused or without an end. Both die with their process: from then on nothing passes.
import { after } from "./time.mjs";

class Transport {
  /** The device has a network. */
  online = true;
  /** Frames or calls so far. */
  sent = 0;
  pulls = 0;
  dead = false;

  constructor(network, dice) {
    this.network = network;
    this.dice = dice;
  }

  die() {
    this.dead = true;
    this.cut();
  }

  /** The connection breaks. */
  cut() {}

  come() {
    this.online = true;
  }

  go() {
    this.cut();
    this.online = false;
  }
}

export class Frames extends Transport {
  protocol = "relay";
  name = "frames";
  status = { state: "idle" };
  #wanted = false;
  #connection;
  #heard = new Set();
  #told = new Set();

  get state() {
    return this.status.state;
  }

  async connect() {
    this.#wanted = true;
    this.#dial();
  }

  async disconnect() {
    this.#wanted = false;
    this.#close();
    this.#become({ state: "closed", reason: "disconnected" });
  }

  reconnect() {
    this.cut();
  }

  drop() {
    this.cut();
  }

  healthy() {}

  send(frame) {
    if (this.state !== "open" || this.dead) return false;
    this.sent += 1;
    this.network.up(this.#connection, frame);
    return true;
  }

  onMessage(listener) {
    this.#heard.add(listener);
    return () => this.#heard.delete(listener);
  }

  onStateChange(listener) {
    this.#told.add(listener);
    return () => this.#told.delete(listener);
  }

  cut(why = { reason: "connection-lost", closeCode: 1006 }) {
    if (!this.#connection) return;
    this.#close();
    if (this.dead) return;
    this.#become({ state: "waiting", ...why });
    this.#dial();
  }

  come() {
    super.come();
    this.#dial();
  }

  #dial() {
    if (!this.#wanted || this.#connection || this.dead) return;
    after(this.dice.range(1, 1_500), () => {
      if (!this.#wanted || this.#connection || this.dead || !this.online) return;
      const hear = (frame) => [...this.#heard].forEach((listener) => listener(frame));
      this.#connection = this.network.open(hear, (closeCode) => this.cut({ reason: "message-too-big", closeCode }));
      this.#become({ state: "open" });
    });
    if (this.state !== "waiting") this.#become({ state: "connecting" });
  }

  #close() {
    if (this.#connection) this.network.close(this.#connection);
    this.#connection = undefined;
  }

  #become(status) {
    this.status = status;
    for (const listener of [...this.#told]) listener(status);
  }
}

/** The longest that a transport waits for an answer. */
const PATIENCE = 30_000;

export class Calls extends Transport {
  name = "calls";
  #remote;
  #faults;
  #listeners = new Set();
  /** Called with news that the server tells other devices. */
  #tell;

  constructor(network, dice, remote, faults, tell) {
    super(network, dice);
    this.#remote = remote;
    this.#faults = faults;
    this.#tell = tell;
  }

  push(records) {
    this.sent += 1;
    // As they are now: who calls may do with them what it likes.
    const batch = structuredClone(records);
    return this.#call(async () => {
      const { status, result, news } = await this.#remote.push(batch, this.network.chaos);
      if (status) throw refusal({ status });
      if (news.length > 0) this.#tell(this, news);
      return result;
    });
  }

  pull(options) {
    this.pulls += 1;
    const { cursor, batchSize } = options;
    return this.#call(async () => (await this.#remote.pull({ cursor, batchSize })).result);
  }

  onServerPush(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  hear(news) {
    if (this.dead || !this.online) return;
    for (let copies = this.network.copies(); copies > 0; copies--) {
      after(this.network.latency(), () => {
        if (!this.dead) for (const listener of [...this.#listeners]) listener(structuredClone(news));
      });
    }
  }

  /** There and back. */
  #call(answer) {
    return new Promise((resolve, reject) => {
      if (!this.online || this.network.copies() === 0) return this.#lose(reject);
      after(this.network.latency(), async () => {
        const settled = await this.#answered(answer);
        if (!this.online || this.network.copies() === 0) return this.#lose(reject);
        after(this.network.latency(), () => !this.dead && settled(resolve, reject));
      });
    });
  }

  async #answered(answer) {
    try {
      const fault = this.network.chaos && this.dice.chance(this.#faults) && this.#fault();
      if (fault) throw fault;
      const result = await answer();
      return (resolve) => resolve(result);
    } catch (error) {
      return (_, reject) => reject(error);
    }
  }

  #fault() {
    const luck = this.dice.below(8);
    if (luck < 3) return refusal({ status: 429, retryAfter: this.dice.below(9_000) });
    return refusal({ status: { 3: 503, 4: 401 }[luck] ?? 500 });
  }

  /** No answer will come. Mostly the transport notices. */
  #lose(reject) {
    if (this.dice.chance(80)) {
      after(this.dice.below(PATIENCE), () => !this.dead && reject(refusal({ code: "network" })));
    }
  }
}

const refusal = (fields) => Object.assign(new Error("the call has failed"), fields);
