// A relay that stores, inside the page: the frames that it is given, it answers with; what is uploaded, it acknowledges. And the
// transport to it, a MessageTransport as an app may bring one. No network, so that what is measured is the client and the
// database; it decides nothing about either.

const base64 = (text) => btoa(text);
/** Its log's name. */
const LOG = base64("a-log-in-a-page!");
const RUN = "bench";

const message = (type, fields) => `{"type":"${type}","version":1,"siteId":"${LOG}","timestamp":0,"payload":{${fields}}}`;
const common = (siteId, ref) => `"run":"${RUN}","to":"${siteId}","ref":"${ref}","durable":true`;

/** Resolves in a new task, as a frame of a socket would come. */
const task = () =>
  new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => (port1.close(), resolve());
    port2.postMessage(null);
  });

export class Log {
  #frames = [];
  #head = 0;
  /** Called with each frame that the client uploads, before it is acknowledged. */
  onUpload = () => {};
  /** Called when the answer leaves after which the client may upload. */
  onAnswer = () => {};

  /** Adds messages (`pages` of changes.js) to the log: the next request is answered with them. */
  add(pages) {
    for (const { text, count } of pages) {
      this.#frames.push({ base: this.#head, text, count });
      this.#head += count;
    }
  }

  transport() {
    return new PageTransport((frame) => (frame.startsWith('{"type":"sync_push"') ? this.#acknowledge(frame) : this.#answer(JSON.parse(frame))));
  }

  /** Only the ends of a push are read: to parse the rows is work of another machine. */
  #acknowledge(frame) {
    this.onUpload(frame);
    const last = (name) => frame.slice(frame.lastIndexOf(`"${name}":`) + name.length + 3).match(/^"([^"]*)"|^\d+/);
    const [, siteId] = /"siteId":"([^"]*)"/.exec(frame);
    const [[version], [, ref]] = [last("currentVersion"), last("ref")];
    const place = `"relay":{"siteId":"${LOG}","run":"${RUN}","baseVersion":${this.#head},"version":${this.#head}}`;
    return message("sync_ack", `"receivedVersion":${version},"appliedCount":0,${common(siteId, ref)},${place}`);
  }

  #answer({ type, siteId, payload }) {
    if (type !== "sync_request") return undefined;
    const [, held = 0] = payload.cursors?.[LOG] ?? [];
    const frame = this.#frames.find(({ base }) => base === held) ?? { base: held, text: "[]", count: 0 };
    const current = frame.base + frame.count;
    // What was answered is not held twice.
    this.#frames = this.#frames.filter(({ base }) => base >= frame.base);
    const stored = payload.stored ? `,"stored":${payload.stored[1]}` : "";
    const more = current < this.#head ? `,"more":true,"head":${this.#head}` : "";
    if (more === "") this.onAnswer();
    return message("sync_response", `"changes":${frame.text},"currentVersion":${current},"baseVersion":${frame.base},"account":"bench",${common(siteId, payload.ref)}${stored}${more}`);
  }
}

class PageTransport {
  protocol = "relay";
  name = "page";
  status = { state: "idle" };
  #answer;
  #message = new Set();
  #state = new Set();

  constructor(answer) {
    this.#answer = answer;
  }

  get state() {
    return this.status.state;
  }

  async connect() {
    if (this.state === "open") return;
    this.#become({ state: "connecting" });
    await task();
    this.#become({ state: "open" });
  }

  async disconnect() {
    this.#become({ state: "closed", reason: "disconnected" });
  }

  reconnect() {
    this.#become({ state: "waiting" });
    this.connect();
  }

  send(frame) {
    if (this.state !== "open") return false;
    task().then(() => {
      const answer = this.#answer(frame);
      if (answer !== undefined && this.state === "open") for (const listener of [...this.#message]) listener(answer);
    });
    return true;
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
