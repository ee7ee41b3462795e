// What goes wrong before the wasm runs. Decides codes and wording; never loads anything and runs nothing at import.
// Used by load.js, and by the glue, whose `wasm` starts as `uninitialised` (see xtask/src/pack/glue.rs).

export function loadError(code, message, { retryable = false, cause, status } = {}) {
  const error = new Error(message, cause === undefined ? undefined : { cause });
  error.name = "SyncError";
  error.code = code;
  error.retryable = retryable;
  if (status !== undefined) error.status = status;
  return error;
}

function refuse() {
  throw loadError(
    "not-initialised",
    'crsqlite-sync was used before its wasm was loaded. Await init() first: `import { init } from "crsqlite-sync"; ' +
      "await init();`",
  );
}

// Stands where the exports of the wasm will be: whatever a class or function of the glue reaches for first, throws.
export const uninitialised = /* @__PURE__ */ new Proxy({}, { get: refuse, has: refuse, set: refuse });

export function htmlError(where) {
  return loadError(
    "wasm-is-html",
    `${where} is a web page (HTML), not wasm. A server answers so when the bundler has moved the JavaScript of ` +
      "crsqlite-sync away from its .wasm file. Vite: `optimizeDeps: { exclude: [\"crsqlite-sync\"] }`. Any bundler: " +
      'serve the file "crsqlite-sync/crsqlite_sync_bg.wasm" yourself and pass its address, `init(url)`; or import ' +
      'from "crsqlite-sync/inline", which carries the wasm inside its JavaScript.',
  );
}
