// A new device: from the start of its client until everything that the relay has is in its database, and what the page holds
// in memory meanwhile.
import { wasmBytes } from "./memory.mjs";
import { Device, now } from "./device.mjs";

const SAMPLING_MS = 50;

/** Resolves with milliseconds, the length of all frames that came, bytes of memory, and what the device holds in the end. */
export async function catchUp({ url, name }) {
  const heard = countFrames();
  const device = await Device.open({ url, name });
  let heap = 0;
  const sampling = setInterval(() => (heap = Math.max(heap, performance.memory.usedJSHeapSize)), SAMPLING_MS);
  const began = now();
  await device.start();
  const took = now() - began;
  clearInterval(sampling);
  const result = { took, ...heard, heap, wasm: wasmBytes(), digest: await device.digest(), errors: device.errors };
  await device.stop();
  return result;
}

/** Counts what sockets hear from now on. */
function countFrames() {
  const heard = { frames: 0, bytes: 0 };
  globalThis.WebSocket = class extends WebSocket {
    constructor(...args) {
      super(...args);
      this.addEventListener("message", ({ data }) => {
        heard.frames += 1;
        heard.bytes += data.length;
      });
    }
  };
  return heard;
}
