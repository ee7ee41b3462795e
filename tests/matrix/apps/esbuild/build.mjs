import { copyFile } from "node:fs/promises";
import { build } from "esbuild";

const options = {
  bundle: true,
  minify: true,
  outdir: "dist",
  // An imported .wasm file is copied, and the import is its address.
  loader: { ".wasm": "file" },
};
await Promise.all([
  build({ ...options, entryPoints: ["main.js"], format: "esm" }),
  // `import.meta` is empty in a classic script, and crsqlite-wasm is told where its file is.
  build({ ...options, entryPoints: ["classic.js"], format: "iife", logOverride: { "empty-import-meta": "silent" } }),
]);
await Promise.all(["index.html", "classic.html"].map((page) => copyFile(page, `dist/${page}`)));
