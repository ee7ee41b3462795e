// A relay that stores, inside the page: what a client costs without a network and without another process. It keeps no rows;
// it knows how far its log has come, acknowledges what it is sent, and hands out what the bench wants it to.
const LOG = btoa("the bench's log!");
const RUN = "bench";

/** The packed key of one INTEGER column. */
export function packed(id) {
  const bytes = [];
  for (let rest = BigInt.asUintN(64, BigInt(id)); rest > 0n; rest >>= 8n) bytes.unshift(Number(rest & 255n));
  return btoa(String.fromCharCode(1, (bytes.length << 3) | 1, ...bytes));
}

export class Peer {
  protocol = "relay";
  name = "bench";
  status = { state: "idle" };
  /** Told each frame that the client sends, before it is answered. */
  onFrame = () => {};
  #head = 0;
  #messages = new Set();
  #states = new Set();

  get state() {
    return this.status.state;
  }

  async connect() {
    if (this.state !== "open") this.#become({ state: "open" });
  }

  async disconnect() {
    this.#become({ state: "closed", reason: "disconnected" });
  }

  reconnect() {
    this.#become({ state: "connecting" });
    this.#become({ state: "open" });
  }

  onMessage(listener) {
    this.#messages.add(listener);
    return () => this.#messages.delete(listener);
  }

  onStateChange(listener) {
    this.#states.add(listener);
    return () => this.#states.delete(listener);
  }

  send(text) {
    this.onFrame(text);
    const { type, siteId, payload } = JSON.parse(text);
    if (type === "sync_request" && (payload.to === undefined || payload.to === LOG)) this.#answer(siteId, payload);
    if (type === "sync_push" && payload.ref !== undefined) this.#acknowledge(siteId, payload);
    return true;
  }

  /** Rows of another device, as the log forwards them. Returns the frame's length. */
  forward(siteId, changes) {
    const base = this.#head;
    this.#head += changes.length;
    const place = { siteId: LOG, run: RUN, baseVersion: base, version: this.#head };
    return this.say(siteId, "sync_push", { changes, baseVersion: base, currentVersion: this.#head, run: "another", relay: place });
  }

  /** A frame for the client, in a task of its own. */
  say(siteId, type, payload) {
    const text = JSON.stringify({ type, version: 1, siteId, timestamp: Date.now(), payload });
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      if (this.state === "open") for (const listener of [...this.#messages]) listener(text);
    };
    port2.postMessage(0);
    return text.length;
  }

  #answer(to, { ref, cursors = {}, stored }) {
    const [run, base] = cursors[LOG] ?? [];
    const known = { baseVersion: run === RUN ? base : 0, stored: stored?.[0] === RUN ? stored[1] : 0 };
    const place = { currentVersion: this.#head, head: this.#head, more: false, run: RUN };
    this.say(LOG, "sync_response", { changes: [], ...place, ...known, to, ref, durable: true, account: "bench" });
  }

  #acknowledge(to, { ref, changes, currentVersion }) {
    const base = this.#head;
    this.#head += changes.length;
    const place = { siteId: LOG, run: RUN, baseVersion: base, version: this.#head };
    this.say(LOG, "sync_ack", { receivedVersion: currentVersion, appliedCount: changes.length, run: RUN, to, ref, durable: true, relay: place });
  }

  #become(status) {
    this.status = status;
    for (const listener of [...this.#states]) listener(status);
  }
}
