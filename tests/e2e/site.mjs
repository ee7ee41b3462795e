// Pages of the tests, built as an app would build them: a bundler, the package under test, and workers. Decides nothing
// about what is tested; used by the tests whose page is not the demo.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "vite";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const PKG = process.env.CRSQLITE_SYNC_PKG ?? here("../../pkg");

/** Builds the pages of a folder into a fresh one, for a relay to serve; `remove` takes it away again. */
export async function buildSite(folder, pages) {
  const root = here(folder);
  const outDir = await mkdtemp(join(tmpdir(), "crsqlite-site-"));
  await build({
    root,
    base: "./",
    configFile: false,
    logLevel: "error",
    resolve: { alias: { "crsqlite-sync": join(PKG, "index.js") } },
    worker: { format: "es" },
    build: {
      outDir,
      emptyOutDir: true,
      target: "es2022",
      assetsInlineLimit: 0,
      modulePreload: { polyfill: false },
      rollupOptions: { input: pages.map((page) => join(root, page)) },
    },
  });
  return { folder: outDir, remove: () => rm(outDir, { recursive: true, force: true }) };
}
