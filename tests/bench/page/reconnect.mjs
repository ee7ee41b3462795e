// A device whose connection ends again and again, and what that leaves behind.
import { wasmBytes } from "./memory.mjs";
import { Device } from "./device.mjs";

let device;

export async function open({ url }) {
  device = await Device.open({ url });
  await device.start();
}

/** Loses the connection so many times, and is live again each time. Resolves with the bytes that the page holds then. */
export async function reconnect({ times }) {
  for (let n = 0; n < times; n += 1) {
    const back = device.liveAgain();
    device.transport.reconnect();
    await back;
  }
  if (device.errors.length > 0) throw new Error(device.errors.join(", "));
  // What is to be collected is found at the latest at the second look.
  for (let n = 0; n < 3; n += 1) {
    gc();
    await new Promise((wake) => setTimeout(wake, 50));
  }
  return wasmBytes().ours + wasmBytes().sqlite + performance.memory.usedJSHeapSize;
}
