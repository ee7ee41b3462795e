// Both ends of a WebSocket that leads nowhere: the app's, which looks like the browser's, and the server's, which the
// test holds. Events are plain objects, told inside the call that causes them. Used by testing.js.

const [CONNECTING, OPEN, CLOSING, CLOSED] = [0, 1, 2, 3];
/** How long a frame that another one overtakes is held back at most. */
const HELD_MS = 100;

export class ServerSocket {
  received = [];
  closed = undefined;
  bufferedAmount = 0;
  onFrame = undefined;
  faults = undefined;
  #network;
  #up = new Line(this, () => this.#weather());
  #down = new Line(this, () => this.#weather());
  /** What was ordered from inside the constructor, before anybody could listen. */
  #early = [];
  #isSilent = false;
  #taken = 0;
  #waiting = [];

  /** @internal */
  constructor(network, client, args) {
    this.client = client;
    this.#network = network;
    this.args = args;
    this.url = client.url;
  }

  /** @internal The constructor of the app's end is over. */
  born() {
    const early = this.#early;
    const play = () => {
      this.#early = undefined;
      for (const action of early) action();
    };
    if (early.length === 0) play();
    else queueMicrotask(play);
  }

  get readyState() {
    return this.client.readyState;
  }

  get isHeard() {
    const { client } = this;
    // Where an error that nobody looks after is fatal, a handler that does nothing has to stay.
    return EVENTS.some((type) => type !== "error" && (client[`on${type}`] != null || client[LISTENERS]?.[type].size > 0));
  }

  get frames() {
    return this.received.map((frame) => JSON.parse(frame));
  }

  async nextFrame() {
    if (this.#taken === this.received.length) await new Promise((resolve) => this.#waiting.push(resolve));
    return JSON.parse(this.received[this.#taken++]);
  }

  accept() {
    return this.#now(() => {
      if (this.readyState !== CONNECTING) return;
      this.client.readyState = OPEN;
      this.#tell("open", {});
    });
  }

  refuse() {
    return this.drop();
  }

  say(frame) {
    const isData = typeof frame === "string" || typeof frame?.byteLength === "number" || typeof frame?.size === "number";
    const data = isData ? frame : JSON.stringify(frame);
    return this.#now(() => this.#down.carry(() => this.readyState === OPEN && this.#tell("message", { data })));
  }

  close(code = 1000, reason = "") {
    return this.#now(() => this.#down.carry(() => this.#end({ code, reason, by: "server" }), { once: true }));
  }

  drop(code = 1006, reason = "") {
    return this.#now(() => {
      this.#isSilent = false;
      this.#end({ code, reason, by: "network" });
    });
  }

  vanish() {
    this.#isSilent = true;
    return this;
  }

  orphan() {
    this.closed ??= { code: 1006, reason: "", by: "network" };
    this.client.readyState = CLOSED;
    return this;
  }

  // ------------------------------------------------------------------------------------- what the app's end does

  /** @internal */
  onSend(frame) {
    if (this.readyState === CONNECTING) throw domError("Still in CONNECTING state", "InvalidStateError");
    if (this.readyState !== OPEN) return;
    this.#up.carry(() => {
      if (this.#isSilent || this.closed?.by === "network") return;
      this.received.push(frame);
      if (this.#waiting.length > 0) this.#waiting.shift()();
      this.onFrame?.(frame, this);
    });
  }

  /** @internal */
  onClose(code, reason) {
    if (this.readyState >= CLOSING) return;
    const wasOpen = this.readyState === OPEN;
    this.client.readyState = CLOSING;
    this.closed = { code: code ?? 1005, reason, by: "client" };
    const { closing } = this.#network.options;
    const end = () => this.#end(wasOpen ? this.closed : { code: 1006, reason: "", by: "client" });
    if (closing === "at-once") end();
    else if (closing === "soon") queueMicrotask(end);
  }

  // ------------------------------------------------------------------------------------------------------ helpers

  #now(action) {
    if (this.#early === undefined) action();
    else this.#early.push(action);
    return this;
  }

  #weather() {
    return this.#network.weather(this.faults ?? this.#network.faults);
  }

  /** @internal */
  after(ms, action) {
    this.#network.after(ms, action);
  }

  #end(how) {
    if (this.readyState === CLOSED || this.#isSilent) return;
    const wasOpen = this.readyState === OPEN || (this.readyState === CLOSING && how.code !== 1006);
    this.client.readyState = CLOSED;
    this.closed ??= how;
    if (!wasOpen) this.#tell("error", {});
    this.#tell("close", { code: how.code, reason: how.reason, wasClean: how.code !== 1006 });
  }

  #tell(type, fields) {
    if (!this.#isSilent) emit(this.client, type, fields);
  }
}

/** One direction of a connection. Frames stay in order unless the weather says otherwise. */
class Line {
  #socket;
  #weather;
  #transit = [];
  #held = undefined;

  constructor(socket, weather) {
    this.#socket = socket;
    this.#weather = weather;
  }

  carry(arrive, { once = false } = {}) {
    const { drops, loses, duplicates, reorders, delay } = this.#weather();
    if (drops) return this.#socket.drop();
    if (loses && !once) return;
    const frame = { arrive, copies: duplicates && !once ? 2 : 1, isDue: false };
    if (reorders && !once && this.#held === undefined) {
      this.#held = frame;
      return this.#socket.after(delay + HELD_MS, () => this.#held === frame && this.#release());
    }
    this.#transit.push(frame);
    if (delay > 0) return this.#socket.after(delay, () => this.#due(frame));
    this.#due(frame);
  }

  #due(frame) {
    frame.isDue = true;
    while (this.#transit[0]?.isDue) {
      deliver(this.#transit.shift());
      this.#release();
    }
  }

  #release() {
    const held = this.#held;
    this.#held = undefined;
    if (held !== undefined) deliver(held);
  }
}

function deliver({ arrive, copies }) {
  for (let copy = 0; copy < copies; copy += 1) arrive();
}

/** The class that stands for the global WebSocket. */
export function socketClass(network) {
  const Base = network.options.plain ? PlainSocket : FullSocket;
  return class WebSocket extends Base {
    constructor(...args) {
      super(network, args);
    }
  };
}

const [SERVER, LISTENERS] = [Symbol("server's end"), Symbol("listeners")];
const EVENTS = ["open", "message", "error", "close"];

/** The least that counts as a socket: handlers as properties, `send` and `close`. */
class PlainSocket {
  readyState = CONNECTING;

  constructor(network, args) {
    this.url = String(args[0]);
    const server = new ServerSocket(network, this, args);
    Object.defineProperty(this, SERVER, { value: server });
    // What the handler throws, `new WebSocket` throws, and then there was no socket.
    if (network.isCut) server.refuse();
    else network.onSocket?.(server);
    network.made("sockets", server);
    server.born();
  }

  send(frame) {
    this[SERVER].onSend(frame);
  }

  close(code, reason = "") {
    if (code !== undefined && code !== 1000 && !(code >= 3000 && code <= 4999)) {
      throw domError(`The close code must be 1000 or between 3000 and 4999, not ${code}`, "InvalidAccessError");
    }
    this[SERVER].onClose(code, reason);
  }
}

/** What else a browser's socket has. */
class FullSocket extends PlainSocket {
  onopen = null;
  onmessage = null;
  onerror = null;
  onclose = null;
  binaryType = "blob";
  extensions = "";
  protocol = "";
  [LISTENERS] = Object.fromEntries(EVENTS.map((type) => [type, new Set()]));

  get bufferedAmount() {
    return this[SERVER].bufferedAmount;
  }

  addEventListener(type, listener) {
    this[LISTENERS][type]?.add(listener);
  }

  removeEventListener(type, listener) {
    this[LISTENERS][type]?.delete(listener);
  }
}

for (const [name, value] of Object.entries({ CONNECTING, OPEN, CLOSING, CLOSED })) {
  for (const holder of [FullSocket, FullSocket.prototype]) Object.defineProperty(holder, name, { value, enumerable: true });
}

function emit(client, type, fields) {
  const event = { type, target: client, ...fields };
  client[`on${type}`]?.(event);
  for (const listener of [...(client[LISTENERS]?.[type] ?? [])]) {
    if (typeof listener === "function") listener.call(client, event);
    else listener.handleEvent(event);
  }
}

function domError(message, name) {
  if (typeof globalThis.DOMException === "function") return new globalThis.DOMException(message, name);
  return Object.assign(new Error(message), { name });
}
