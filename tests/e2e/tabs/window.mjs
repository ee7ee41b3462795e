// A window with a device, or with a worker that has one (`?worker`). `call` reaches it by the name of a method.
import { Device } from "./device.mjs";

const { worker, ...options } = Object.fromEntries(new URLSearchParams(location.search));
if (options.start) options.start = options.start === "yes";
/** Whether this page came back from the back-forward cache. */
window.restored = false;
addEventListener("pageshow", (event) => (window.restored ||= event.persisted));

if (worker === undefined) {
  const opening = Device.open(options);
  window.call = async (method, ...args) => (await opening)[method](...args);
  opening.then((device) => (window.device = device));
} else {
  const thread = new Worker(new URL("./worker.mjs", import.meta.url), { type: "module" });
  let last = 0;
  const waiting = new Map();
  thread.onmessage = ({ data: { id, value, error } }) => {
    const { resolve, reject } = waiting.get(id);
    waiting.delete(id);
    if (error) reject(new Error(error));
    else resolve(value);
  };
  window.call = (method, ...args) =>
    new Promise((resolve, reject) => {
      waiting.set((last += 1), { resolve, reject });
      thread.postMessage({ id: last, method, args });
    });
  window.call("open", options);
}
