import { defineConfig } from "vite";
import { precache } from "./build/precache.js";

// The built page says what it needs: its own files, its own origin, and the right to compile wasm. Vite's dev server
// injects styles and a reload client, so the policy is part of the build only.
const POLICY = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "manifest-src 'self'",
  "worker-src 'self'",
  "base-uri 'none'",
  "form-action 'self'",
].join("; ");

const contentSecurityPolicy = {
  name: "content-security-policy",
  apply: "build",
  transformIndexHtml: () => [
    { tag: "meta", attrs: { "http-equiv": "Content-Security-Policy", content: POLICY }, injectTo: "head-prepend" },
  ],
};

// `vite` alone serves the page with a relay beside it: RELAY names where that one listens.
const relay = process.env.RELAY ?? "http://127.0.0.1:8787";

export default defineConfig({
  base: "./",
  plugins: [contentSecurityPolicy, precache()],
  build: {
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rolldownOptions: {
      input: ["index.html", "src/sw.ts"],
      // A service worker has one address for ever.
      output: { entryFileNames: ({ name }) => (name === "sw" ? "sw.js" : "assets/[name]-[hash].js") },
    },
  },
  optimizeDeps: { exclude: ["crsqlite-sync", "@vlcn.io/crsqlite-wasm"] },
  server: {
    // The package is a link to the folder that `cargo xtask pack` fills, beside this one.
    fs: { allow: [".."] },
    proxy: {
      "/dev": relay,
      "/api": { target: relay, ws: true },
      "/sync": { target: relay, ws: true },
    },
  },
});
