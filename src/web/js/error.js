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

/** What to do where the file is not where the JavaScript looks for it. */
export const cures =
  "The bundler has left the .wasm file of crsqlite-sync behind. Vite's dev server: " +
  '`optimizeDeps: { exclude: ["crsqlite-sync"] }`. esbuild: `loader: { ".wasm": "file" }`, import ' +
  '"crsqlite-sync/crsqlite_sync_bg.wasm" and pass its address, `init(address)`. Rollup: a plugin that knows `new URL`, such as ' +
  "@web/rollup-plugin-import-meta-assets. webpack and Next.js copy it: see that no middleware or rewrite answers in its " +
  "place. Any of them: serve that file yourself and call `init(address)`, or import from \"crsqlite-sync/inline\", which " +
  "carries the wasm inside its JavaScript.";

export function htmlError(where) {
  return loadError("wasm-is-html", `${where} is a web page (HTML), not wasm. ${cures}`);
}
