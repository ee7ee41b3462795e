// The relay as a process of its own on a fresh database, and sockets to it that carry a user's cookie. It stores, unless
// its arguments say otherwise.
import { execFile, spawn } from "node:child_process";
import { mkdtemp, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { WebSocket } from "ws";

const PROGRAM = process.env.CRSQLITE_RELAY ?? resolve(import.meta.dirname, "../../target/debug/crsqlite-relay");
const folder = process.env.CRSQLITE_SYNC_PKG ?? resolve(import.meta.dirname, "../../pkg");
const { HttpTransport, WsTransport } = await import(pathToFileURL(resolve(folder, "index.js")).href);

/** Cookies by address: what a browser keeps by itself. */
const cookies = new Map();

globalThis.WebSocket = class extends WebSocket {
  constructor(url, protocols) {
    super(url, protocols, { headers: { cookie: cookies.get(String(url)) ?? "" } });
  }
};

/** A process of the relay that listens, and its port. */
async function started(args) {
  const child = spawn(PROGRAM, args, { stdio: ["ignore", "pipe", "pipe"] });
  const port = await new Promise((found, failed) => {
    child.once("error", failed).once("exit", (code) => failed(new Error(`the relay has ended (${code})`)));
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on("line", (line) => {
        const [, port] = /listening on http:\/\/[^:]+:(\d+)/.exec(line) ?? [];
        if (port) found(port);
      });
    }
  });
  return { child, port };
}

/**
 * Starts a relay; `transport(user)`, and `http(user)` and `ws(user)` of the push-pull contract, are connections of one of the
 * user's devices; `halt()` kills it, `resume()` starts it again at the same port, and `stop()` ends it and its files.
 * `backup()` copies its database as it runs; `restore()` kills it, puts that copy back and starts it at the same port.
 */
export async function storingRelay({ args = [] } = {}) {
  const place = await mkdtemp(join(tmpdir(), "crsqlite-relay-"));
  const [database, copy] = [join(place, "relay.db"), join(place, "copy.db")];
  const start = (port) => started(["--dev", "--database", database, "--listen", `127.0.0.1:${port}`, ...args]);
  let { child, port } = await start(0);
  const kill = async () => {
    const gone = new Promise((ended) => child.once("exit", ended));
    child.kill("SIGKILL");
    await gone;
  };
  const logIn = async (user) => {
    const answer = await fetch(`http://127.0.0.1:${port}/dev/login`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ user }),
    });
    return answer.headers.get("set-cookie").split(";")[0];
  };
  const bearer = async (user) => ({ Authorization: `Bearer ${(await logIn(user)).replace("auth_token=", "")}` });
  return {
    async backup() {
      await promisify(execFile)(PROGRAM, ["backup", copy, "--database", database]);
    },
    async restore() {
      await kill();
      for (const rest of ["-wal", "-shm"]) await rm(database + rest, { force: true });
      await rename(copy, database);
      ({ child } = await start(port));
    },
    halt: kill,
    async resume() {
      ({ child } = await start(port));
    },
    origin: `http://127.0.0.1:${port}`,
    /** What a request of the user's carries. */
    headers: bearer,
    /** Signs the user in; the address at which the user's cookie is sent along. */
    async login(user) {
      const url = `ws://127.0.0.1:${port}/api/v1/sync?${user}`;
      cookies.set(url, await logIn(user));
      return url;
    },
    async transport(user) {
      const url = await this.login(user);
      return new WsTransport({ url, protocol: "relay", reconnectIntervalMs: 100, maxReconnectAttempts: 0 });
    },
    /** An open socket of the user's, without a client on it. */
    async socket(user) {
      const socket = new globalThis.WebSocket(await this.login(user));
      await new Promise((open, failed) => Object.assign(socket, { onopen: open, onerror: failed }));
      return socket;
    },
    async http(user, options = {}) {
      return new HttpTransport({ url: `http://127.0.0.1:${port}/sync`, headers: await bearer(user), ...options });
    },
    async ws(user, options = {}) {
      const url = `ws://127.0.0.1:${port}/sync/ws`;
      return new WsTransport({ url, headers: await bearer(user), reconnectIntervalMs: 50, ...options });
    },
    async stop() {
      await kill();
      await rm(place, { recursive: true, force: true });
    },
  };
}
