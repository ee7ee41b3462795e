// A dedicated worker with a device in it: carries calls out one after the other as they come, and answers.
import { Device } from "./device.mjs";

let opening;
onmessage = async ({ data: { id, method, args } }) => {
  try {
    if (method === "open") {
      opening = Device.open(...args);
      await opening;
      return postMessage({ id });
    }
    const device = await opening;
    postMessage({ id, value: await device[method](...args) });
  } catch (error) {
    postMessage({ id, error: String(error) });
  }
};
