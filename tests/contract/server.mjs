// A server of the push-pull contract in one process, on a port of its own: HTTP below /sync, WebSocket at /sync/ws.
//
//   const server = await startServer({ token: "secret" }); // every option is below
//   new HttpTransport({ url: server.url, headers: { Authorization: "Bearer secret" } });
//   new WsTransport({ url: server.wsUrl, headers: { token: "secret" } });
//   await server.stop(); await startServer({ store: server.store, port: server.port }); // killed and started again
import { createServer } from "node:http";
import { WebSocketServer } from "ws";
import { ContractStore } from "./store.mjs";

const DEFAULTS = {
  /** 0 takes a free one. */
  port: 0,
  /** What the server remembers. Give it the old one to restart with it, none to restart with nothing. */
  store: undefined,
  /** Wanted as `Authorization: Bearer …` (else 401) and in the auth frame as `token` (else close code 4001). */
  token: undefined,
  /** The most changes in one page, whatever a client asks for. */
  pageSize: 100,
  /** The last page has the cursor null, as the contract words it. */
  nullAtEnd: false,
  /** What a cursor of another log gets: "restart" from the beginning, or "refuse" (400, or an error frame). */
  unknownCursor: "restart",
  /** The odd ways of the contract's reference server: no HEAD, no GET pull, no server_push, a WebSocket on any path, an
   *  error for the auth frame (requestId "unknown"), no token, and pages as `ContractStore.pullAsReference` cuts them. */
  reference: false,
  /** Every n-th HTTP push or pull answers 429, with this Retry-After (seconds, or a date). 0 = never. */
  limitEvery: 0,
  retryAfter: "0",
  /** The connection breaks after every n-th push or pull was carried out and before it is answered. 0 = never. */
  loseEvery: 0,
  /** A larger body gets 413, a larger frame the close code 1009. */
  maxBytes: 1_000_000,
  /** `(request, response) => true` for what it answers itself: what else the origin has, such as a page. */
  besides: undefined,
};

/** Starts one. Options may be changed while it runs: `server.options.loseEvery = 3`. */
export async function startServer(options = {}) {
  const server = new ContractServer({ ...DEFAULTS, ...options });
  await server.listen();
  return server;
}

class ContractServer {
  /** What was asked, in order: "POST /sync/push", "ws push", … */
  requests = [];
  #http = createServer((request, response) => this.#onRequest(request, response));
  #ws;
  #limited = 0;
  #carriedOut = 0;

  constructor(options) {
    this.options = options;
    this.store = options.store ?? new ContractStore();
    this.#ws = new WebSocketServer({ noServer: true, maxPayload: options.maxBytes });
    this.#http.on("upgrade", (request, socket, head) => {
      if (!this.options.reference && pathOf(request) !== "/sync/ws") return socket.destroy();
      this.#ws.handleUpgrade(request, socket, head, (connection) => this.#onSocket(connection));
    });
  }

  listen() {
    return new Promise((resolve, reject) => {
      this.#http.once("error", reject);
      this.#http.listen(this.options.port, "127.0.0.1", resolve);
    });
  }

  get port() {
    return this.#http.address()?.port ?? this.options.port;
  }

  /** The base for `HttpTransport`. */
  get url() {
    return `http://127.0.0.1:${this.port}/sync`;
  }

  /** The address for `WsTransport`. */
  get wsUrl() {
    return `ws://127.0.0.1:${this.port}/sync/ws`;
  }

  /** The server's end of every open WebSocket: `close(code, reason)`, `terminate()`, `send(text)`. */
  get sockets() {
    return [...this.#ws.clients];
  }

  /** Falls silent in the middle of whatever it does. Nothing listens on the port afterwards. */
  async stop() {
    this.options.port = this.port;
    for (const socket of this.#ws.clients) socket.terminate();
    const closed = new Promise((resolve) => this.#http.close(resolve));
    this.#http.closeAllConnections();
    await closed;
  }

  // ------------------------------------------------------------------------------------------------- HTTP

  async #onRequest(request, response) {
    if (this.options.besides?.(request, response)) return;
    const path = pathOf(request);
    this.requests.push(`${request.method} ${path}`);
    const send = (status, body, headers = {}) => {
      response.writeHead(status, { "content-type": "application/json", ...headers }).end(body && JSON.stringify(body));
    };
    if (request.method === "GET" && path === "/health") return send(200, { status: "ok" });
    const asks = this.#operation(request.method, path);
    if (asks === undefined) return send(404, { error: "Not found" });
    if (!this.#knows(request.headers.authorization?.replace(/^Bearer /, ""))) return send(401, { error: "Unauthorized" });
    if (asks === "ping") return send(200);
    if (isNth(this.options.limitEvery, ++this.#limited)) {
      return send(429, { error: "Too many requests" }, { "retry-after": this.options.retryAfter });
    }
    let body;
    try {
      body = await this.#body(request);
    } catch (error) {
      return send(error.status ?? 400, { error: error.message });
    }
    const { error, result } = this.#carryOut(asks, body);
    if (isNth(this.options.loseEvery, ++this.#carriedOut)) return response.destroy();
    if (error) return send(400, { error });
    send(200, result);
  }

  #operation(method, path) {
    const { reference } = this.options;
    if (method === "POST" && path === "/sync/push") return "push";
    if (path === "/sync/pull" && (method === "POST" || (method === "GET" && !reference))) return "pull";
    return method === "HEAD" && path === "/sync" && !reference ? "ping" : undefined;
  }

  async #body(request) {
    const { searchParams } = new URL(request.url, "http://x");
    if (request.method === "GET") {
      const [cursor, batchSize] = ["cursor", "batchSize"].map((name) => searchParams.get(name) ?? undefined);
      const collections = searchParams.getAll("collections").flatMap((names) => names.split(","));
      return { cursor, collections, batchSize: batchSize && Number(batchSize) };
    }
    let text = "";
    request.setEncoding("utf8");
    for await (const piece of request) {
      text += piece;
      if (text.length > this.options.maxBytes) throw Object.assign(new Error("Too large"), { status: 413 });
    }
    return JSON.parse(text);
  }

  // -------------------------------------------------------------------------------------------- WebSocket

  #onSocket(socket) {
    socket.known = this.#knows(undefined);
    socket.on("error", () => {}); // too large, or broken: its close follows
    socket.on("message", (data) => this.#onFrame(socket, String(data)));
  }

  #onFrame(socket, text) {
    const say = (type, requestId, payload) => socket.send(JSON.stringify({ type, requestId, payload }));
    let frame;
    try {
      frame = JSON.parse(text);
    } catch {
      return say("error", "unknown", { message: "Invalid JSON" });
    }
    this.requests.push(`ws ${frame?.type}`);
    if (frame?.type === "auth" && !this.options.reference) {
      socket.known = this.#knows(frame.payload?.token);
      return socket.known || socket.close(4001, "invalid token");
    }
    if (!socket.known) return socket.close(4001, "no token");
    if (frame?.type !== "push" && frame?.type !== "pull") {
      return say("error", frame?.requestId ?? "unknown", { message: `Unknown message type: ${frame?.type}` });
    }
    const { error, result } = this.#carryOut(frame.type, frame.payload, socket);
    if (isNth(this.options.loseEvery, ++this.#carriedOut)) return socket.terminate();
    if (error) return say("error", frame.requestId, { message: error });
    say(`${frame.type}_result`, frame.requestId, result);
  }

  // ------------------------------------------------------------------------------------------------- both

  #knows(token) {
    return this.options.reference || this.options.token === undefined || token === this.options.token;
  }

  #carryOut(asks, body, from) {
    if (asks === "pull") return this.#pull(body ?? {});
    if (!Array.isArray(body?.changes)) return { error: "changes must be an array" };
    const { result, fresh } = this.store.push(body.changes);
    if (fresh.length > 0 && !this.options.reference) {
      const frame = JSON.stringify({ type: "server_push", payload: fresh });
      for (const socket of this.sockets) if (socket !== from && socket.known) socket.send(frame);
    }
    return { result };
  }

  #pull({ cursor, collections, batchSize }) {
    const { reference, pageSize, nullAtEnd, unknownCursor } = this.options;
    const query = { collections, nullAtEnd, batchSize: Math.min(batchSize > 0 ? batchSize : pageSize, pageSize) };
    if (reference) return { result: this.store.pullAsReference({ ...query, cursor }) };
    const result = this.store.pull({ ...query, cursor });
    if (result !== undefined) return { result };
    return unknownCursor === "refuse" ? { error: "Unknown cursor" } : { result: this.store.pull(query) };
  }
}

const pathOf = (request) => new URL(request.url, "http://x").pathname;
const isNth = (every, count) => every > 0 && count % every === 0;
