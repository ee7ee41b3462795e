// What goes wrong before the wasm runs. Decides codes and wording; never loads anything and runs nothing at import.
// Used by load.js, by live.js for its arguments, and by the glue, whose `wasm` starts as `uninitialised` (see xtask/src/pack/glue.rs).

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

/** What to do where the file is not where the JavaScript looks for it. */
export const cures =
  'Vite: `optimizeDeps: { exclude: ["crsqlite-sync"] }`. esbuild: `loader: { ".wasm": "file" }`, and `init(address)` with ' +
  'what you import from "crsqlite-sync/crsqlite_sync_bg.wasm". Rollup: @web/rollup-plugin-import-meta-assets. webpack, ' +
  'Next.js: see what answers in its place. Anywhere: import from "crsqlite-sync/inline", which carries the wasm.';

export function htmlError(where) {
  return loadError("wasm-is-html", `${where} is a web page (HTML), not wasm. ${cures}`);
}
