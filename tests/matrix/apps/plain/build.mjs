// crsqlite-wasm as one file, with its wasm beside it, for workers without a bundler.
import { copyFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { build } from "esbuild";

await build({
  stdin: { contents: 'export { default } from "@vlcn.io/crsqlite-wasm";', resolveDir: "." },
  bundle: true,
  format: "esm",
  outfile: "dist/crsqlite-wasm.js",
});
await copyFile(createRequire(import.meta.url).resolve("@vlcn.io/crsqlite-wasm/crsqlite.wasm"), "dist/crsqlite.wasm");
