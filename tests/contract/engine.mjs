// A small sync engine, written against the contract's page by someone who never saw our code: a queue of changes, pushed
// in batches; a cursor, pulled in a loop; records of which the last writer wins. Knows of a transport what the page says.

/** How long it waits after a failure that does not say how long. */
const RETRY_MS = 15;

export class Engine {
  /** Changes that the server has not accepted yet, oldest first. */
  queue = [];
  /** Changes that the server does not want. */
  failed = [];
  errors = [];
  #records = new Map();
  #cursor = null;
  #timer;
  #stopping = new AbortController();
  #unsubscribe = () => {};
  #running;
  #again = false;
  #written = 0;

  constructor({ name, transport, batchSize = 7, pollMs = 20 }) {
    this.name = name;
    this.transport = transport;
    this.batchSize = batchSize;
    this.pollMs = pollMs;
  }

  /** What the app sees: collection/recordId → data. */
  get records() {
    const live = [...this.#records].filter(([, { data }]) => data !== null);
    return Object.fromEntries(live.map(([key, { data }]) => [key, data]).sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  start() {
    this.#unsubscribe = this.transport.onServerPush?.((changes) => changes.forEach((change) => this.#merge(change))) ?? (() => {});
    this.transport.connect?.().catch((error) => this.errors.push(error));
    this.sync();
  }

  async stop() {
    clearTimeout(this.#timer);
    this.#stopping.abort();
    this.#unsubscribe();
    await this.transport.disconnect?.();
    await this.#running;
  }

  write(collection, recordId, data) {
    const now = new Date().toISOString();
    const key = `${collection}/${recordId}`;
    const prevData = this.#records.get(key)?.data ?? null;
    const change = {
      id: `${this.name}-${(this.#written += 1)}`, collection, recordId, data, prevData,
      type: data === null ? "delete" : prevData === null ? "create" : "update",
      timestamp: now, status: "pending", retries: 0, errorMessage: null, createdAt: now, updatedAt: now,
    };
    this.queue.push(change);
    this.#merge(change);
    if (!this.#stopping.signal.aborted) this.sync();
    return change.id;
  }

  /** Pushes what waits and pulls what is new, and again when it was asked meanwhile. */
  sync() {
    this.#again = true;
    this.#running ??= this.#loop().finally(() => (this.#running = undefined));
    return this.#running;
  }

  async #loop() {
    clearTimeout(this.#timer);
    let wait = this.pollMs;
    while (this.#again && !this.#stopping.signal.aborted) {
      this.#again = false;
      try {
        await this.#push();
        await this.#pull();
      } catch (error) {
        if (error.name === "AbortError") return;
        this.errors.push(error);
        wait = Math.max(error.retryAfter ?? 0, RETRY_MS);
        break;
      }
    }
    if (wait > 0 && !this.#stopping.signal.aborted) this.#timer = setTimeout(() => this.sync(), wait);
  }

  async #push() {
    while (this.queue.length > 0) {
      const batch = this.queue.slice(0, this.batchSize);
      for (const change of batch) change.status = "syncing";
      const { accepted, conflicts, errors } = await this.transport.push(batch, { signal: this.#stopping.signal });
      const settle = (id, status) => {
        const index = this.queue.findIndex((change) => change.id === id);
        return index < 0 ? undefined : Object.assign(this.queue.splice(index, 1)[0], { status });
      };
      for (const { id } of accepted) settle(id, "committed");
      for (const { id, error } of errors) {
        const change = settle(id, "failed");
        if (change) this.failed.push(Object.assign(change, { errorMessage: error }));
      }
      for (const { changeId, collection, recordId, remote, remoteTimestamp } of conflicts) {
        settle(changeId, "committed");
        this.#records.delete(`${collection}/${recordId}`);
        this.#merge({ id: changeId, collection, recordId, data: remote, timestamp: remoteTimestamp });
      }
    }
  }

  async #pull() {
    for (;;) {
      const asked = { cursor: this.#cursor, batchSize: this.batchSize, signal: this.#stopping.signal };
      const { changes, cursor, hasMore } = await this.transport.pull(asked);
      for (const change of changes) this.#merge(change);
      // Null says that there is no more, not that everything begins again.
      if (cursor !== null) this.#cursor = cursor;
      if (!hasMore || changes.length === 0) return;
    }
  }

  /** The last writer wins; of the same moment, the greater id. */
  #merge({ id, collection, recordId, data, timestamp }) {
    const key = `${collection}/${recordId}`;
    const held = this.#records.get(key);
    if (held && (held.timestamp > timestamp || (held.timestamp === timestamp && held.id >= id))) return;
    this.#records.set(key, { id, data, timestamp });
  }
}
