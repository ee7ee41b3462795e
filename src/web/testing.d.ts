/// <reference lib="esnext.disposable" />
/**
 * A network for tests: stands in place of the global `WebSocket` and `fetch`, and hands the test the server's end of
 * every socket and every request. Needs no wasm, no server and no waiting: without `delayMs` everything happens inside
 * the call that causes it, and timers are the global ones at that moment, so fake timers move it.
 *
 * ```js
 * const network = new FakeNetwork().install();
 * const connecting = transport.connect();
 * network.socket.accept();
 * await connecting;
 * network.socket.drop(); // and now?
 * network.uninstall();
 * ```
 */
export class FakeNetwork {
  constructor(options?: FakeNetworkOptions);
  /** Takes the place of the global `WebSocket` and `fetch`. */
  install(): this;
  /** Puts back what was there, and ends what was still under way. Also by `using network = …`. */
  uninstall(): void;
  [Symbol.dispose](): void;

  /** What `install` puts in place, for code that is handed its own. */
  readonly WebSocket: typeof WebSocket;
  /** See `WebSocket`. */
  readonly fetch: typeof fetch;

  /** The server's end of every `new WebSocket`, oldest first. */
  readonly sockets: readonly ServerSocket[];
  /** The newest one. Throws when there is none. */
  readonly socket: ServerSocket;
  /** The next one that this function has not returned yet, as soon as it is made. */
  nextSocket(): Promise<ServerSocket>;
  /**
   * Told inside every `new WebSocket`. What it orders happens once the app can listen (in a microtask); what it throws,
   * `new WebSocket` throws.
   */
  onSocket: ((socket: ServerSocket) => void) | undefined;

  /** The server's end of every call of `fetch`, oldest first. */
  readonly requests: readonly ServerRequest[];
  /** The newest one. Throws when there is none. */
  readonly request: ServerRequest;
  /** The next one that this function has not returned yet, as soon as it is made. */
  nextRequest(): Promise<ServerRequest>;
  /** Told inside every call of `fetch`. A request that nobody answers waits for ever. */
  onRequest: ((request: ServerRequest) => void) | undefined;

  /** The weather on all sockets and requests. May be changed at any time. */
  faults: Faults;
  /** From now on nothing passes: open sockets fall silent without a close, new ones and requests fail. */
  cut(): void;
  /** New sockets and requests get through again. Those that were cut stay silent, until `drop()`. */
  mend(): void;
  /** Between `cut()` and `mend()`. */
  readonly isCut: boolean;
  /** The next number of this seed, at least 0 and below 1. The faults are drawn from it too. */
  random(): number;
}

/** Options of `FakeNetwork`. */
export interface FakeNetworkOptions {
  /** Same seed, same faults. Default 1. */
  seed?: number;
  /** The weather from the beginning. Default: none. */
  faults?: Faults;
  /**
   * Sockets and responses are the least that a double can be: no `addEventListener`, no `bufferedAmount`, no constants;
   * no `headers` unless the test gives some, no `clone`, no `arrayBuffer`. Default false.
   */
  plain?: boolean;
  /**
   * When a socket that the app closes tells its `close` event: in a microtask, from inside `close()`, or never (then
   * `drop()` ends it). Default "soon".
   */
  closing?: "soon" | "at-once" | "never";
}

/** What befalls frames in both directions, requests and responses. Chances are between 0 and 1. */
export interface Faults {
  /** The connection breaks instead: close code 1006, or a `fetch` that fails, before or after the server has seen it. */
  drop?: number;
  /** It vanishes without a sign. */
  lose?: number;
  /** A frame arrives twice. */
  duplicate?: number;
  /** A frame arrives after its successor. */
  reorder?: number;
  /** How long it travels, in milliseconds, or between which bounds. Frames keep their order. */
  delayMs?: number | readonly [from: number, to: number];
}

/** The server's end of a WebSocket. */
export class ServerSocket {
  private constructor();
  /** The address that the app gave, as text. */
  readonly url: string;
  /** What `new WebSocket` was given. */
  readonly args: readonly unknown[];
  /** The app's end, for what no method here does. */
  readonly client: WebSocket;
  /** As the app sees it. */
  readonly readyState: number;
  /** Whether the app still listens to anything but errors. */
  readonly isHeard: boolean;

  /** Opens it. */
  accept(): this;
  /** The handshake fails. */
  refuse(): this;
  /** Sends a frame: text and bytes (ArrayBuffer, view, Blob) as they are, anything else as JSON. */
  say(frame: unknown): this;
  /** Closes it, after all that was said. Default 1000. */
  close(code?: number, reason?: string): this;
  /** Breaks it, whatever is on the way. Default 1006. Also ends one that has vanished. */
  drop(code?: number, reason?: string): this;
  /** Half-open: from now on nothing arrives on either side, and no event tells of it, not even when the app closes it. */
  vanish(): this;
  /** It is closed, but no event tells so, as after a sleep. */
  orphan(): this;
  /** What the app reads as `bufferedAmount`. */
  bufferedAmount: number;
  /** In place of the network's own. */
  faults: Faults | undefined;

  /** Frames of the app that have arrived. */
  readonly received: readonly (string | ArrayBufferLike | ArrayBufferView | Blob)[];
  /** The same, parsed as JSON. */
  readonly frames: readonly any[];
  /** The next frame that this function has not returned yet, parsed as JSON, as soon as it arrives. */
  nextFrame(): Promise<any>;
  /** Told of every frame that arrives. */
  onFrame: ((frame: any, socket: ServerSocket) => void) | undefined;
  /** How it ended and by whom; undefined before. */
  readonly closed: { readonly code: number; readonly reason: string; readonly by: "client" | "server" | "network" } | undefined;
}

/** How a request is answered. */
export interface Answer {
  /** Default 200. */
  status?: number;
  /** Beside a content type that fits the body. */
  headers?: Record<string, string>;
  /** How long the body takes after the headers; `Infinity` never ends. Default 0. */
  bodyDelayMs?: number;
  /** The body ends with an error. Default false. */
  breaksOff?: boolean;
}

/** The server's end of a call of `fetch`. Aborting rejects the call, or the reading of its body, with the signal's reason. */
export class ServerRequest {
  private constructor();
  /** The whole address. */
  readonly url: string;
  /** The path of the address, without query. */
  readonly path: string;
  /** By name; the last one where a name comes twice. */
  readonly query: Readonly<Record<string, string>>;
  /** In capitals. */
  readonly method: string;
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string>>;
  /** As `fetch` was given it. */
  readonly body: unknown;
  /** The body, parsed as JSON. */
  readonly json: any;
  /** The app's, where it gave one. */
  readonly signal: AbortSignal | undefined;
  /** What `fetch` was given. */
  readonly input: unknown;
  /** The second argument of `fetch`. */
  readonly init: RequestInit;
  /** By any of the methods below. */
  readonly isAnswered: boolean;
  /** By its signal. */
  readonly isAborted: boolean;

  /** Answers: text as it is, anything else as JSON, nothing without a body. Only the first answer counts. */
  respond(body?: unknown, answer?: Answer): void;
  /** Answers with a page, as login pages and proxies do. */
  html(body?: string, answer?: { status?: number; headers?: Record<string, string> }): void;
  /** Answers 429, or another status, with Retry-After: seconds, or a date. */
  limit(retryAfter?: number | string, answer?: { status?: number }): void;
  /** No answer comes: `fetch` rejects with a TypeError. */
  fail(cause?: unknown): void;
}
