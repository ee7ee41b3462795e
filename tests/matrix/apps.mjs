// The apps of the matrix: how each is built and served, and under which policy. What each needs, and why, is told in
// README.md; the apps themselves are in apps/. Decides nothing about how they are tried.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { here, run, server } from "./stage/programs.mjs";
import { policy, Site } from "./stage/site.mjs";

const dist = (app) => () => Site.open({ "/": here(`apps/${app}/dist`) });

/** Every tool once. Its apps wait for it. */
const tools = {
  plain: () => run("plain", ["./build.mjs"]),
  vite: () => run("vite", ["vite/bin/vite.js", "build"]),
  esbuild: () => run("esbuild", ["./build.mjs"]),
  rollup: () => run("rollup", ["rollup/dist/bin/rollup", "--config", "--silent"]),
  webpack: () => run("webpack", ["webpack-cli/bin/cli.js"]),
  next: () => run("next", ["next/dist/bin/next", "build"]),
};

/** What answers requests. Apps on the same one are two pages of it. */
const servers = {
  "vite dev": () => server("vite", ["vite/bin/vite.js", "--host", "127.0.0.1"]),
  "vite 7 dev": () => server("vite-7", ["vite-7/bin/vite.js", "--host", "127.0.0.1"]),
  vite: dist("vite"),
  webpack: dist("webpack"),
  esbuild: dist("esbuild"),
  rollup: dist("rollup"),
  next: () => server("next", ["next/dist/bin/next", "start", "--hostname", "127.0.0.1", "--port", "0"]),
  plain: () =>
    Site.open(
      {
        "/": here("apps"),
        "/node_modules/": here("node_modules"),
        "/node_modules/crsqlite-sync/": here("apps/node_modules/crsqlite-sync"),
        "/sqlite/": here("apps/plain/dist"),
      },
      policy({ scripts: [importMapHash()] }),
    ),
};

/** The rows of the table, in the order in which they are ready. */
export const apps = [
  { title: "no bundler, import map", server: "plain", page: "/plain/" },
  { title: "no bundler, module worker", tool: "plain", server: "plain", page: "/plain/worker.html" },
  { title: "Vite 8, dev server", server: "vite dev", page: "/" },
  { title: "Vite 8, dev server, module worker", server: "vite dev", page: "/worker.html" },
  { title: "Vite 7, dev server", server: "vite 7 dev", page: "/" },
  { title: "Vite 8, build", tool: "vite", server: "vite", page: "/" },
  { title: "Vite 8, build, module worker", tool: "vite", server: "vite", page: "/worker.html" },
  { title: "esbuild, `/slim`", tool: "esbuild", server: "esbuild", page: "/" },
  { title: "esbuild, classic script, `/inline`", tool: "esbuild", server: "esbuild", page: "/classic.html" },
  { title: "Rollup", tool: "rollup", server: "rollup", page: "/" },
  { title: "webpack 5", tool: "webpack", server: "webpack", page: "/" },
  { title: "Next.js, app router, `/react`", tool: "next", server: "next", page: "/" },
];

/** The app of the scenarios with two devices. */
export const [forDevices] = apps;

/** Builds and serves on demand, each once. */
export class Workshop {
  #built = new Map();
  #serving = new Map();

  /** Begins with all builds, the longest beside the others. */
  begin() {
    const inTurn = async (names) => {
      for (const name of names) await this.#build(name).catch(() => {}); // told to the apps that wait for it
    };
    const { next, ...others } = tools;
    inTurn(["next"]);
    inTurn(Object.keys(others));
  }

  /** Where an app is served, with the site that serves it. */
  async open({ tool, server: name, page }) {
    if (tool) await this.#build(tool);
    if (!this.#serving.has(name)) this.#serving.set(name, servers[name]());
    const site = await this.#serving.get(name);
    return { url: new URL(page, site.url).href, site };
  }

  #build(name) {
    if (!this.#built.has(name)) this.#built.set(name, tools[name]());
    return this.#built.get(name);
  }

  async close() {
    const sites = await Promise.allSettled(this.#serving.values());
    await Promise.all(sites.map(({ value }) => value?.close()));
  }
}

/** The source for a policy that lets exactly this page's import map be: import maps cannot be files. */
function importMapHash() {
  const [, map] = /<script type="importmap">([^]*?)<\/script>/.exec(readFileSync(here("apps/plain/index.html"), "utf8"));
  return `'sha256-${createHash("sha256").update(map).digest("base64")}'`;
}
