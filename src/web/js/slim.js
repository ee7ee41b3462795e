// The entry `crsqlite-sync/slim`: brings no wasm and names no file. For places where the app loads the module itself,
// from the asset `crsqlite-sync/crsqlite_sync_bg.wasm`.

import { load, loadSync } from "./load.js";

export * from "./crsqlite_sync.js";

export function init(input) {
  return load(() => input);
}

export default init;

export function initSync(module) {
  loadSync(module);
}
