// A web server for apps that were built: files, their types, and a policy that the browser enforces. Decides nothing
// about the apps; keeps what browsers report of the policy, for the tests to look at.

import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";

const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".mjs": "text/javascript; charset=utf-8",
  ".wasm": "application/wasm",
};

/** The strictest policy that the package runs under. `scripts`: further sources of scripts, such as hashes. */
export function policy({ scripts = [], wasm = true } = {}) {
  const script = ["'self'", ...(wasm ? ["'wasm-unsafe-eval'"] : []), ...scripts].join(" ");
  // A relay elsewhere has to be named. The port is another one for each device here.
  return `default-src 'self'; script-src ${script}; connect-src 'self' ws://127.0.0.1:*`;
}

export class Site {
  /** What was refused by the policy, as browsers report it. */
  violations = [];
  #server;
  #folders;
  #policy;

  /** `folders`: what begins with the path is looked for in the folder, the longest path first. */
  static async open(folders, content = policy()) {
    const site = new Site();
    site.#folders = Object.entries(folders).sort(([a], [b]) => b.length - a.length);
    site.#policy = `${content}; report-uri /reports`;
    site.#server = createServer((request, response) => {
      site.#answer(request, response).catch((error) => response.destroy(error));
    });
    site.#server.listen(0, "127.0.0.1");
    await once(site.#server, "listening");
    return site;
  }

  get url() {
    return `http://127.0.0.1:${this.#server.address().port}`;
  }

  async #answer(request, response) {
    const path = normalize(decodeURIComponent(new URL(request.url, "http://site").pathname)).replaceAll("\\", "/");
    if (path === "/reports") {
      const report = JSON.parse(Buffer.concat(await request.toArray()));
      const { "document-uri": page, "effective-directive": directive, "blocked-uri": blocked } = report["csp-report"];
      this.violations.push({ page, directive, blocked });
      return response.writeHead(204).end();
    }
    const [prefix, folder] = this.#folders.find(([prefix]) => path.startsWith(prefix)) ?? [];
    const below = folder && (path.endsWith("/") ? `${path}index.html` : path).slice(prefix.length);
    const content = folder && (await readFile(join(folder, below)).catch(() => undefined));
    if (content === undefined) return response.writeHead(404).end();
    response.setHeader("content-security-policy", this.#policy);
    response.setHeader("content-type", TYPES[extname(below)] ?? "application/octet-stream");
    response.end(content);
  }

  async close() {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}
