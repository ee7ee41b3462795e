import { defineConfig } from "vite";

export default defineConfig({
  // Up to Vite 7 the dev server bundles dependencies away from the .wasm files that they name.
  optimizeDeps: { exclude: ["crsqlite-sync"] },
  worker: { format: "es" },
  build: { target: "es2022", rolldownOptions: { input: ["index.html", "worker.html"] } },
  server: {
    headers: {
      "Content-Security-Policy":
        "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self' ws://127.0.0.1:*",
    },
  },
});
