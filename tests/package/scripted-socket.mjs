// A `WebSocket` whose other end is the test, and the package loaded once for this process.
import { readFileSync } from "node:fs";
import { fileURLToPath, pathToFileURL } from "node:url";

const folder = process.env.CRSQLITE_SYNC_PKG ?? fileURLToPath(new URL("../../pkg", import.meta.url));
export const crsqliteSync = await import(pathToFileURL(`${folder}/index.js`).href);
crsqliteSync.initSync(readFileSync(`${folder}/crsqlite_sync_bg.wasm`));

/** A plain object of handlers, as tests of other people use them: no EventTarget, no constants. */
export class ScriptedSocket {
  static made = [];
  /** Calls `onclose` from inside `close()`, as some doubles do. */
  static closesAtOnce = false;
  /** Called with each new socket; what it throws, `new WebSocket` throws. */
  static onMade = () => {};

  static reset() {
    ScriptedSocket.made = [];
    ScriptedSocket.closesAtOnce = false;
    ScriptedSocket.onMade = () => {};
  }

  readyState = 0;
  sent = [];

  constructor(...args) {
    this.args = args;
    this.url = args[0];
    ScriptedSocket.onMade(this);
    ScriptedSocket.made.push(this);
  }

  send(frame) {
    this.sent.push(frame);
    this.answer?.(JSON.parse(frame));
  }

  close(code, reason = "") {
    this.closedWith = code;
    this.readyState = 3;
    if (ScriptedSocket.closesAtOnce) this.onclose?.({ code, reason });
  }

  // What the other end does.
  opens() {
    this.readyState = 1;
    this.onopen?.({});
  }

  says(frame) {
    this.saysRaw(typeof frame === "string" ? frame : JSON.stringify(frame));
  }

  saysRaw(data) {
    this.onmessage?.({ data });
  }

  drops(code = 1006, reason = "") {
    this.readyState = 3;
    this.onclose?.({ code, reason });
  }

  get frames() {
    return this.sent.map((frame) => JSON.parse(frame));
  }

  /** Whether anything still listens. */
  get isHeard() {
    return [this.onopen, this.onmessage, this.onerror, this.onclose].some((handler) => handler != null);
  }
}

export const sockets = () => ScriptedSocket.made;
export const socket = () => ScriptedSocket.made.at(-1);
