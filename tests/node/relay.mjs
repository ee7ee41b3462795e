// A plain relay inside the process: what one peer sends, all others of the same room get. And its transport, the
// smallest MessageTransport there is.

export class PlainRelay {
  #open = new Set();
  /** Every frame that was sent, parsed, with the name of its sender. */
  frames = [];

  transport(name = "fake") {
    return new FakeTransport(this, name);
  }

  join(peer) {
    this.#open.add(peer);
  }

  leave(peer) {
    this.#open.delete(peer);
  }

  forward(from, frame) {
    this.frames.push({ from: from.name, ...JSON.parse(frame) });
    for (const peer of this.#open) {
      if (peer !== from) setImmediate(() => peer.deliver(frame));
    }
  }

  /** Hands a frame to everybody, as if a stranger had sent it. */
  inject(message) {
    for (const peer of this.#open) setImmediate(() => peer.deliver(JSON.stringify(message)));
  }
}

class FakeTransport {
  protocol = "relay";
  status = { state: "idle" };
  proofs = 0;
  #relay;
  #message = new Set();
  #state = new Set();

  constructor(relay, name) {
    this.#relay = relay;
    this.name = name;
  }

  get state() {
    return this.status.state;
  }

  get listeners() {
    return this.#message.size + this.#state.size;
  }

  async connect() {
    if (this.state === "open") return;
    this.#become({ state: "connecting" });
    await new Promise(setImmediate);
    if (this.state !== "connecting") return;
    this.#relay.join(this);
    this.#become({ state: "open" });
  }

  async disconnect() {
    this.#relay.leave(this);
    this.#become({ state: "closed", reason: "disconnected" });
  }

  reconnect() {
    this.cut();
    this.connect();
  }

  /** The connection breaks; the transport does not come back by itself. */
  cut(closeCode = 1006) {
    this.#relay.leave(this);
    this.#become({ state: "waiting", closeCode, retryAt: Date.now() + 60_000 });
  }

  send(frame) {
    if (this.state !== "open") return false;
    this.#relay.forward(this, frame);
    return true;
  }

  deliver(frame) {
    if (this.state !== "open") return;
    for (const listener of [...this.#message]) listener(frame);
  }

  healthy() {
    this.proofs += 1;
  }

  onMessage(listener) {
    this.#message.add(listener);
    return () => this.#message.delete(listener);
  }

  onStateChange(listener) {
    this.#state.add(listener);
    return () => this.#state.delete(listener);
  }

  #become(status) {
    this.status = status;
    for (const listener of [...this.#state]) listener(status);
  }
}
