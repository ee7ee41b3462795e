import { defineConfig } from "vite";

// The built page says what it needs: its own files, its own origin, and the right to compile wasm. Vite's dev server
// injects styles and a reload client, so the policy is part of the build only.
const POLICY = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self' ws: wss:",
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
  plugins: [contentSecurityPolicy],
  build: { target: "es2022", assetsInlineLimit: 0, modulePreload: { polyfill: false } },
  optimizeDeps: { exclude: ["crsqlite-sync", "@vlcn.io/crsqlite-wasm"] },
  server: {
    // The package is a link to the folder that `cargo xtask pack` fills, beside this one.
    fs: { allow: [".."] },
    proxy: {
      "/dev": relay,
      "/api": { target: relay, ws: true },
    },
  },
});
