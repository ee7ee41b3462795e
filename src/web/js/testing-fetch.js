// A call of fetch whose other end the test holds. Rejects as the real one does: with the signal's reason when it is
// aborted, with a TypeError when no answer comes. Never answers by itself. Used by testing.js.

const TYPES = { html: "text/html; charset=utf-8", string: "text/plain; charset=utf-8", object: "application/json" };
const WITHOUT_BODY = [204, 205, 304];

export class ServerRequest {
  isAnswered = false;
  isAborted = false;
  #network;
  #resolve;
  #reject;
  /** Rejects what waits: first the call, then the reading of the body. */
  #abort;
  #onAbort = () => {
    this.isAborted = true;
    this.#finish();
    this.#abort(this.signal.reason);
  };

  /** @internal */
  static fetch(network, input, init = {}) {
    return new Promise((resolve, reject) => {
      const request = new ServerRequest(network, input, init, resolve, reject);
      // An aborted call reaches nobody.
      if (request.isAborted) return;
      network.made("requests", request);
      request.#arrive();
    });
  }

  /** @internal */
  constructor(network, input, init, resolve, reject) {
    this.#network = network;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#abort = reject;
    this.input = input;
    this.init = init;
    this.url = typeof input === "string" ? input : (input.href ?? input.url);
    this.method = (init.method ?? input.method ?? "GET").toUpperCase();
    this.headers = lowerCased(init.headers ?? input.headers);
    this.body = init.body ?? undefined;
    this.signal = init.signal ?? input.signal ?? undefined;
    if (this.signal?.aborted) this.#onAbort();
    else this.signal?.addEventListener("abort", this.#onAbort);
  }

  get path() {
    return this.url.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, "").split(/[?#]/)[0];
  }

  get query() {
    return Object.fromEntries(new URLSearchParams(/\?([^#]*)/.exec(this.url)?.[1]));
  }

  get json() {
    return this.body === undefined ? undefined : JSON.parse(this.body);
  }

  respond(body, { status = 200, headers = {}, bodyDelayMs = 0, breaksOff = false } = {}) {
    const isEmpty = body === undefined || this.method === "HEAD" || WITHOUT_BODY.includes(status);
    const text = isEmpty ? null : typeof body === "string" ? body : JSON.stringify(body);
    const type = isEmpty ? {} : { "content-type": TYPES[typeof body] ?? TYPES.object };
    const head = { status, headers: { ...type, ...lowerCased(headers) }, hasHeaders: Object.keys(headers).length > 0 };
    this.#answer(() => {
      const isWhole = bodyDelayMs === 0 && !breaksOff;
      if (isWhole) this.#finish();
      const reading = isWhole ? Promise.resolve(text) : this.#slowly(text, bodyDelayMs, breaksOff);
      this.#resolve(this.#network.options.plain ? plain(reading, head) : real(isWhole ? text : reading, head));
    });
  }

  html(body = "<!doctype html><title>Sign in</title>", { status = 200, headers = {} } = {}) {
    this.respond(body, { status, headers: { "content-type": TYPES.html, ...headers } });
  }

  limit(retryAfter, { status = 429 } = {}) {
    const headers = retryAfter === undefined ? {} : { "retry-after": String(retryAfter) };
    this.respond("Too many requests", { status, headers });
  }

  fail(cause) {
    this.#answer(() => this.#break(cause));
  }

  // ------------------------------------------------------------------------------------------------------ helpers

  #arrive() {
    const { drops, loses } = this.#network.weather();
    if (this.#network.isCut || drops) queueMicrotask(() => this.fail());
    else if (!loses) this.#network.onRequest?.(this);
  }

  /** The way back has its own weather: the server may have done its work for nothing. */
  #answer(settle) {
    if (this.isAnswered || this.isAborted) return;
    this.isAnswered = true;
    const { drops, loses, delay } = this.#network.weather();
    if (loses) return;
    const arrive = () => {
      if (this.isAborted) return;
      if (drops) this.#break();
      else settle();
    };
    if (delay > 0) this.#network.after(delay, arrive);
    else arrive();
  }

  #break(cause) {
    this.#finish();
    this.#reject(unreachable(cause));
  }

  #finish() {
    this.signal?.removeEventListener("abort", this.#onAbort);
  }

  #slowly(text, ms, breaksOff) {
    const reading = new Promise((resolve, reject) => {
      this.#abort = reject;
      const end = () => {
        if (this.isAborted) return;
        this.#finish();
        if (breaksOff) reject(unreachable());
        else resolve(text);
      };
      if (ms < Infinity) this.#network.after(ms, end);
    });
    // Nobody has to read a body.
    reading.catch(() => {});
    return reading;
  }
}

function real(body, { status, headers }) {
  if (typeof body?.then !== "function") return new Response(body, { status, headers });
  const stream = new ReadableStream({
    async start(controller) {
      try {
        const text = await body;
        if (text !== null) controller.enqueue(new TextEncoder().encode(text));
        controller.close();
      } catch (reason) {
        controller.error(reason);
      }
    },
  });
  return new Response(stream, { status, headers });
}

/** The least that counts as a response. Has headers only if the test named some. */
function plain(reading, { status, headers, hasHeaders }) {
  const response = {
    ok: status >= 200 && status <= 299,
    status,
    text: () => reading.then((text) => text ?? ""),
    json: () => reading.then((text) => JSON.parse(text ?? "")),
  };
  if (hasHeaders) response.headers = { get: (name) => headers[name.toLowerCase()] ?? null };
  return response;
}

function lowerCased(headers = {}) {
  const entries = typeof headers.entries === "function" ? headers.entries() : Array.isArray(headers) ? headers : Object.entries(headers);
  return Object.fromEntries([...entries].map(([name, value]) => [name.toLowerCase(), String(value)]));
}

function unreachable(cause) {
  return new TypeError("fetch failed", cause === undefined ? undefined : { cause });
}
