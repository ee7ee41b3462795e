import { defineConfig } from "vite";

export default defineConfig({
  // The dev server bundles dependencies beforehand, away from the files that they name: these two name a .wasm file.
  optimizeDeps: { exclude: ["crsqlite-sync"] },
  worker: { format: "es" },
  build: { target: "es2022", rolldownOptions: { input: ["index.html", "worker.html"] } },
});
