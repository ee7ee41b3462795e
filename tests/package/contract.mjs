// What the cases of the push-pull contract share: the installed package on a network and a clock that the case holds,
// and what a case says in one word. The doubles are the least that the contract allows.
import assert from "node:assert/strict";
import { after, afterEach, beforeEach, mock } from "node:test";
import { crsqliteSync, testing } from "./package.mjs";

export const url = "wss://example.test/sync";
export const base = "https://example.test/sync";
/** Anew for every case. */
export let network;

let transports = [];
let said;
/** Rejections that nobody looked after. There are none, ever. */
export const unhandled = [];
process.on("unhandledRejection", (reason) => unhandled.push(reason));

beforeEach(() => {
  mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1_700_000_000_000 });
  // Both clocks are the case's, and go together.
  mock.method(performance, "now", () => Date.now() - 1_700_000_000_000);
  said = mock.method(console, "error", () => {});
  on({ plain: true });
});
afterEach(async () => {
  for (const transport of transports) await transport.disconnect();
  transports = [];
  network.uninstall();
  mock.timers.reset();
  mock.restoreAll();
});
after(async () => {
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual(unhandled, []);
});

/** Another network for this case. */
export function on(options) {
  network?.uninstall();
  network = new testing.FakeNetwork(options).install();
}

export const make = (options = {}) => kept(new crsqliteSync.WsTransport({ url, ...options }));
export const makeHttp = (options = {}) => kept(new crsqliteSync.HttpTransport({ url: base, ...options }));
function kept(transport) {
  transports.push(transport);
  return transport;
}

/** A transport whose socket is open. */
export async function opened(options) {
  const transport = make(options);
  const connecting = transport.connect();
  await microtasks();
  network.socket.accept();
  await connecting;
  return transport;
}

export const tick = (ms) => mock.timers.tick(ms);
export const microtasks = async () => {
  for (let turn = 0; turn < 20; turn += 1) await null;
};

export const change = (id) => ({ id, collection: "todos", recordId: 1, type: "create", data: { z: 1, a: 2 } });
export const accepted = (...ids) => ({ accepted: ids.map((id) => ({ id, serverTimestamp: "t" })), conflicts: [], errors: [] });
export const page = { changes: [], cursor: null, hasMore: false };
/** The server's answer to a request frame. */
export const answer = (frame, payload, type = `${frame.type}_result`) =>
  network.socket.say({ type, requestId: frame.requestId, payload });

export async function errorOf(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  return assert.fail("it did not reject");
}

/** The errors that were said on the console. */
export const reports = () => said.mock.calls.map((call) => call.arguments[0]);
export const reportedCodes = () => reports().map((error) => error.code);

/** A page around the transport, until the case ends: what it tells, the case fires. */
export function inPage(t) {
  const listeners = new Set();
  const target = () => ({
    addEventListener: (kind, listener) => listeners.add({ kind, listener }),
    removeEventListener: (kind, listener) => {
      for (const entry of listeners) if (entry.kind === kind && entry.listener === listener) listeners.delete(entry);
    },
  });
  const made = {
    listeners,
    device: { onLine: true },
    document: { ...target(), visibilityState: "visible" },
    fire(kind, fields = {}) {
      for (const entry of [...listeners]) if (entry.kind === kind) entry.listener({ type: kind, ...fields });
    },
    show(visibilityState) {
      made.document.visibilityState = visibilityState;
      made.fire("visibilitychange");
    },
    network(onLine) {
      made.device.onLine = onLine;
      made.fire(onLine ? "online" : "offline");
    },
  };
  for (const [name, value] of Object.entries({ ...target(), document: made.document, navigator: made.device })) {
    const before = Object.getOwnPropertyDescriptor(globalThis, name);
    Object.defineProperty(globalThis, name, { value, configurable: true });
    t.after(() => before ? Object.defineProperty(globalThis, name, before) : delete globalThis[name]);
  }
  return made;
}
