import { copyFileSync, mkdirSync } from "node:fs";
import { nodeResolve } from "@rollup/plugin-node-resolve";
import { importMetaAssets } from "@web/rollup-plugin-import-meta-assets";

export default {
  input: "main.js",
  output: { dir: "dist", format: "es" },
  plugins: [
    nodeResolve({ browser: true }),
    // Rollup alone leaves `new URL("x.wasm", import.meta.url)` as it is, and copies nothing.
    importMetaAssets(),
    {
      name: "copy-the-page",
      writeBundle() {
        mkdirSync("dist", { recursive: true });
        copyFileSync("index.html", "dist/index.html");
      },
    },
  ],
};
