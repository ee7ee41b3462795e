// The entry `crsqlite-sync/inline`: carries the wasm as text, for places that cannot serve a file. Decoded at the first
// init, not at import.

import { base64 } from "./crsqlite_sync_bg.base64.js";
import { load, loadSync } from "./load.js";

export * from "./crsqlite_sync.js";

export function init(input) {
  return load(() => input ?? bytes());
}

export default init;

export function initSync(module) {
  loadSync(module ?? bytes());
}

function bytes() {
  if (typeof Uint8Array.fromBase64 === "function") return Uint8Array.fromBase64(base64);
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}
