// The package in real apps, in a real browser: plain modules, a Vite build, Vite's dev server.
import assert from "node:assert/strict";
import { createReadStream, existsSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import { build, createServer as createDevServer } from "vite";
import { app, write } from "./installed.mjs";

// Says how it ended in the page's title: whoever opens the page by hand sees it too.
const MAIN = `
  import { init } from "crsqlite-sync";
  init().then(() => { document.title = "loaded"; }, (e) => { document.title = e.code + ": " + e.message; });
`;
const html = (head) => `<!doctype html><html><head><title>waiting</title>${head}</head><body></body></html>`;

let browser;
before(async () => {
  const executablePath = process.env.CHROME;
  assert.ok(executablePath, "CHROME must name a Chrome or Chromium; `cargo xtask test --only package` finds one");
  browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-quic"] });
});
after(() => browser?.close());

/** Opens a page, waits for its verdict and returns it with the addresses of wasm that it asked for. */
async function verdict(url) {
  const page = await browser.newPage();
  const wasm = [];
  page.on("request", (request) => request.url().includes(".wasm") && wasm.push(request.url()));
  await page.goto(url);
  await page.waitForFunction(() => document.title !== "waiting");
  const title = await page.title();
  await page.close();
  return { title, wasm };
}

/** Serves a folder, as any web server would; unknown paths get the app's page, as single page apps are served. */
async function serve(folder, t) {
  const types = { ".js": "text/javascript", ".html": "text/html", ".wasm": "application/wasm" };
  const server = createServer((request, response) => {
    const path = join(folder, normalize(new URL(request.url, "http://x").pathname));
    const file = existsSync(path) && extname(path) ? path : join(folder, "index.html");
    response.setHeader("content-type", types[extname(file)] ?? "application/octet-stream");
    createReadStream(file).pipe(response);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  return `http://127.0.0.1:${server.address().port}/`;
}

test("plain modules with an import map load it", async (t) => {
  const map = JSON.stringify({ imports: { "crsqlite-sync": "./node_modules/crsqlite-sync/index.js" } });
  write("index.html", html(`<script type="importmap">${map}</script><script type="module">${MAIN}</script>`));
  const { title, wasm } = await verdict(await serve(app, t));
  assert.equal(title, "loaded");
  assert.equal(wasm.length, 1);
});

test("the testing entry works in a page and in a worker", async (t) => {
  const script = `
    import { FakeNetwork } from "/node_modules/crsqlite-sync/testing.js";
    const network = new FakeNetwork({ faults: { delayMs: 1 } }).install();
    const socket = new WebSocket("wss://example.test/");
    network.socket.accept().say("hello");
    network.onRequest = (request) => request.respond({ from: request.path }, { bodyDelayMs: 1 });
    const heard = new Promise((resolve) => (socket.onmessage = ({ data }) => resolve(data)));
    const { from } = await (await fetch("/x?y")).json();
    network.uninstall();
    export const verdict = [await heard, from, fetch.toString().includes("native")].join(" ");
  `;
  write("testing.js", script);
  write("worker.js", 'import("./testing.js").then(({ verdict }) => postMessage(verdict), (e) => postMessage(String(e)));');
  write("index.html", html(`<script type="module">
    const inWorker = new Promise((resolve) => {
      new Worker("./worker.js", { type: "module" }).onmessage = ({ data }) => resolve(data);
    });
    import("./testing.js").then(async ({ verdict }) => { document.title = verdict + ", " + (await inWorker); });
  </script>`));
  const { title, wasm } = await verdict(await serve(app, t));
  assert.equal(title, "hello /x true, hello /x true");
  assert.deepEqual(wasm, []);
});

test("an app built by Vite loads it, as one file of its own", async (t) => {
  write("built/index.html", html('<script type="module" src="./main.js"></script>'));
  write("built/main.js", MAIN);
  const root = join(app, "built");
  await build({ root, configFile: false, logLevel: "error", build: { assetsInlineLimit: 0 } });
  const { title, wasm } = await verdict(await serve(join(root, "dist"), t));
  assert.equal(title, "loaded");
  assert.equal(wasm.length, 1);
  assert.match(wasm[0], /\/assets\/crsqlite_sync_bg-[\w-]+\.wasm$/);
});

/** What Vite's dev server makes of it, with these options about dependencies. */
async function inDev(name, optimizeDeps, t) {
  write(`${name}/index.html`, html('<script type="module" src="./main.js"></script>'));
  write(`${name}/main.js`, MAIN);
  const root = join(app, name);
  const server = await createDevServer({
    root,
    configFile: false,
    logLevel: "error",
    cacheDir: join(root, ".vite"),
    optimizeDeps,
    server: { port: 0, host: "127.0.0.1" },
  });
  await server.listen();
  t.after(() => server.close());
  return verdict(`http://127.0.0.1:${server.httpServer.address().port}/`);
}

test("Vite's dev server serves it when told not to pre-bundle it", async (t) => {
  assert.equal((await inDev("dev", { exclude: ["crsqlite-sync"] }, t)).title, "loaded");
});

test("Vite's dev server, told nothing, either serves it or the error names the cure", async (t) => {
  const { title } = await inDev("dev-plain", {}, t);
  if (title !== "loaded") assert.match(title, /^wasm-is-html: .*optimizeDeps/);
});
