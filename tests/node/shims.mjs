// What @vlcn.io/crsqlite-wasm expects of a browser and Node lacks. Import this before the package.
import "fake-indexeddb/auto";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

// A browser takes a DOMStringList for the names of the stores; fake-indexeddb takes an array.
const { transaction } = IDBDatabase.prototype;
IDBDatabase.prototype.transaction = function (names, ...rest) {
  return transaction.call(this, typeof names === "string" ? names : [...names], ...rest);
};

globalThis.self ??= globalThis;
globalThis.location ??= new URL("http://localhost/");
// Its presence makes the emscripten loader take the worker's way, which fetches.
globalThis.importScripts ??= () => {};

const nodeFetch = globalThis.fetch;
globalThis.fetch = async (input, init) => {
  const url = String(input?.url ?? input);
  if (!url.startsWith("file:")) return nodeFetch(input, init);
  return new Response(await readFile(fileURLToPath(url)), { headers: { "content-type": "application/wasm" } });
};

/** Web Locks, exclusive mode: what IDBBatchAtomicVFS and the election of a leader need. */
class Locks {
  #held = new Map();
  #waiting = new Map();

  request(name, options, callback = options) {
    const { signal, ifAvailable = false } = callback === options ? {} : options;
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (this.#held.has(name) && ifAvailable) return Promise.resolve(callback(null));
    return new Promise((resolve, reject) => {
      const grant = () => {
        signal?.removeEventListener("abort", abort);
        this.#held.set(name, true);
        Promise.resolve()
          .then(() => callback({ name, mode: "exclusive" }))
          .then(resolve, reject)
          .finally(() => this.#next(name));
      };
      const abort = () => {
        this.#waiting.set(name, this.#queue(name).filter((other) => other !== grant));
        reject(signal.reason);
      };
      if (!this.#held.has(name)) return grant();
      signal?.addEventListener("abort", abort, { once: true });
      this.#waiting.set(name, [...this.#queue(name), grant]);
    });
  }

  async query() {
    return { held: [...this.#held.keys()].map((name) => ({ name, mode: "exclusive" })), pending: [] };
  }

  #queue(name) {
    return this.#waiting.get(name) ?? [];
  }

  #next(name) {
    this.#held.delete(name);
    const [grant, ...rest] = this.#queue(name);
    this.#waiting.set(name, rest);
    grant?.();
  }
}

if (!globalThis.navigator?.locks) {
  const navigator = { ...globalThis.navigator, locks: new Locks(), onLine: true };
  Object.defineProperty(globalThis, "navigator", { value: navigator, configurable: true });
}
