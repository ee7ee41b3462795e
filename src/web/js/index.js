// The entry `crsqlite-sync`: its wasm is the file beside it, found by bundlers through the one literal address below.

import { load, loadSync } from "./load.js";

export * from "./crsqlite_sync.js";

export function init(input) {
  return load(() => input ?? new URL("./crsqlite_sync_bg.wasm", import.meta.url));
}

export default init;

export function initSync(module) {
  loadSync(module);
}
