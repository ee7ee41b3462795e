// The entry `crsqlite-sync/testing`: a network that a test holds in its hands, in place of the global WebSocket and fetch.
// Decides nothing by itself: the test, or `onSocket` and `onRequest`, is the server. Needs neither wasm nor a real clock.
// Used by apps in their tests, and by ours.

import { ServerRequest } from "./testing-fetch.js";
import { socketClass } from "./testing-socket.js";

export { ServerRequest } from "./testing-fetch.js";
export { ServerSocket } from "./testing-socket.js";

const DISPOSE = Symbol.dispose ?? Symbol.for("Symbol.dispose");
const REPLACED = ["WebSocket", "fetch"];

export class FakeNetwork {
  sockets = [];
  requests = [];
  onSocket = undefined;
  onRequest = undefined;
  faults;
  #options;
  #state;
  #isCut = false;
  #timers = new Set();
  #before = undefined;
  #waiting = { sockets: [], requests: [] };
  #taken = { sockets: 0, requests: 0 };

  constructor({ seed = 1, faults = {}, plain = false, closing = "soon" } = {}) {
    this.#options = { plain, closing };
    this.#state = seed >>> 0;
    this.faults = faults;
    this.WebSocket = socketClass(this);
    this.fetch = (input, init) => ServerRequest.fetch(this, input, init);
  }

  install() {
    if (this.#before === undefined) {
      this.#before = REPLACED.map((name) => Object.getOwnPropertyDescriptor(globalThis, name));
      for (const name of REPLACED) {
        Object.defineProperty(globalThis, name, { value: this[name], writable: true, configurable: true });
      }
    }
    return this;
  }

  uninstall() {
    REPLACED.forEach((name, index) => {
      const before = this.#before?.[index];
      if (before !== undefined) Object.defineProperty(globalThis, name, before);
      else if (this.#before !== undefined) delete globalThis[name];
    });
    this.#before = undefined;
    for (const timer of this.#timers) globalThis.clearTimeout(timer);
    this.#timers.clear();
  }

  [DISPOSE]() {
    this.uninstall();
  }

  get socket() {
    return last(this.sockets, "no WebSocket was made");
  }

  get request() {
    return last(this.requests, "fetch was not called");
  }

  nextSocket() {
    return this.#next("sockets");
  }

  nextRequest() {
    return this.#next("requests");
  }

  get isCut() {
    return this.#isCut;
  }

  cut() {
    this.#isCut = true;
    for (const socket of this.sockets) socket.vanish();
  }

  mend() {
    this.#isCut = false;
  }

  random() {
    // mulberry32
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  // ---------------------------------------------------------------- for the sockets and requests of this network

  /** @internal */
  get options() {
    return this.#options;
  }

  /** @internal What `faults` say of this moment. A draw is made for every chance, so that one fault shifts no other. */
  weather(faults = this.faults) {
    const { drop = 0, lose = 0, duplicate = 0, reorder = 0, delayMs = 0 } = faults;
    const [drops, loses, duplicates, reorders] = [drop, lose, duplicate, reorder].map((chance) => this.random() < chance);
    const [from, to] = Array.isArray(delayMs) ? delayMs : [delayMs, delayMs];
    return { drops, loses, duplicates, reorders, delay: from + (to - from) * this.random() };
  }

  /** @internal A timer of the global at this moment, real or fake. Cleared by `uninstall`. */
  after(ms, action) {
    const timer = globalThis.setTimeout(() => {
      this.#timers.delete(timer);
      action();
    }, ms);
    this.#timers.add(timer);
  }

  /** @internal */
  made(kind, end) {
    this[kind].push(end);
    if (this.#waiting[kind].length > 0) this.#waiting[kind].shift()(this.#take(kind));
  }

  #next(kind) {
    if (this.#taken[kind] < this[kind].length) return Promise.resolve(this.#take(kind));
    return new Promise((resolve) => this.#waiting[kind].push(resolve));
  }

  #take(kind) {
    return this[kind][this.#taken[kind]++];
  }
}

function last(list, otherwise) {
  if (list.length === 0) throw new Error(otherwise);
  return list[list.length - 1];
}
