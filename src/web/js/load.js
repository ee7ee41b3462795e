// From any input to running wasm, once per page. Decides how an input is read and which error it becomes; never chooses
// a default input (the entries index.js, slim.js and inline.js do) and runs nothing at import.

import start, { initSync as startSync } from "./crsqlite_sync.js";
import { cures, htmlError, loadError } from "./error.js";

let ready;

/** Loads what `source()` gives, unless that is done or under way. After a failure the next call tries again. */
export function load(source) {
  if (ready === undefined) {
    const attempt = run(source);
    ready = attempt;
    attempt.catch(() => {
      if (ready === attempt) ready = undefined;
    });
  }
  return ready;
}

/** The same at once, from bytes or a compiled module. */
export function loadSync(input) {
  let module = input;
  if (!isModule(input)) {
    if (!isBytes(input)) throw inputError("initSync", input);
    refuseHtml(input, "what initSync() was given");
    module = compiled(() => new WebAssembly.Module(input));
  }
  named(() => startSync({ module }), unstarted);
  ready = Promise.resolve();
}

async function run(source) {
  const input = await source();
  // `start` gets a compiled module only: its own reading of addresses and responses knows none of our errors.
  const module = await compile(input);
  await named(() => start({ module_or_path: module }), unstarted);
}

function compile(input) {
  if (isModule(input)) return input;
  if (isBytes(input)) return compileBytes(input, "what init() was given");
  const kind = tag(input);
  if (kind === "[object Response]") return compileResponse(input);
  if (typeof input === "string" || kind === "[object URL]" || kind === "[object Request]") return compileAddress(input);
  throw inputError("init", input);
}

async function compileAddress(input) {
  const address = typeof input === "string" ? input : (input.href ?? input.url);
  if (address.startsWith("file:")) return compileBytes(readFile(address), address);
  let response;
  try {
    response = await fetch(input);
  } catch (cause) {
    throw loadError("network", `could not fetch ${address}`, { retryable: true, cause });
  }
  return compileResponse(response);
}

async function compileResponse(response) {
  const where = response.url || "the response";
  const { status } = response;
  if (!response.ok) {
    const retryable = status >= 500 || status === 408 || status === 429;
    const cure = status === 404 ? `. ${cures}` : "";
    throw loadError("http-status", `${where} answered with status ${status}${cure}`, { retryable, status });
  }
  const type = (response.headers.get("content-type") ?? "").toLowerCase();
  if (type.startsWith("text/html")) throw htmlError(where);
  if (type.startsWith("application/wasm") && typeof WebAssembly.compileStreaming === "function") {
    return compiled(() => WebAssembly.compileStreaming(response));
  }
  let bytes;
  try {
    bytes = await response.arrayBuffer();
  } catch (cause) {
    throw loadError("network", `${where} broke off`, { retryable: true, cause });
  }
  return compileBytes(bytes, where);
}

function compileBytes(bytes, where) {
  refuseHtml(bytes, where);
  return compiled(() => WebAssembly.compile(bytes));
}

const compiled = (compiler) => named(compiler, uncompiled);

// Runs a step, synchronous or not, and names its failure.
function named(step, name) {
  try {
    const result = step();
    return typeof result.then === "function" ? result.catch((cause) => Promise.reject(name(cause))) : result;
  } catch (cause) {
    throw name(cause);
  }
}

function uncompiled(cause) {
  if (cause instanceof WebAssembly.CompileError || cause instanceof EvalError) return invalid("compile", cause);
  return loadError("network", "the wasm could not be read to its end", { retryable: true, cause });
}

// WebKit asks the policy only here; a file of another version lacks what the glue wants, or wants more.
const unstarted = (cause) => invalid("start", cause);

function invalid(step, cause) {
  const hint = "A Content-Security-Policy must allow 'wasm-unsafe-eval', and the file be of this very version.";
  return loadError("wasm-invalid", `the wasm does not ${step}: ${cause.message}. ${hint}`, { cause });
}

// Only Node has files, and fetch does not read them there. Asking the process keeps `node:fs` out of bundles.
function readFile(address) {
  const fs = globalThis.process?.getBuiltinModule?.("node:fs");
  if (fs === undefined) {
    throw loadError("bad-option", `${address} is a file: read it and pass its bytes to init(bytes)`);
  }
  try {
    return fs.readFileSync(new URL(address));
  } catch (cause) {
    throw loadError("bad-option", `could not read ${address}`, { cause });
  }
}

// The first byte that is not a byte order mark or white space tells a page from wasm, which begins with \0asm.
function refuseHtml(input, where) {
  const bytes = ArrayBuffer.isView(input)
    ? new Uint8Array(input.buffer, input.byteOffset, input.byteLength)
    : new Uint8Array(input);
  const skipped = [0xef, 0xbb, 0xbf, 0x09, 0x0a, 0x0d, 0x20];
  if (bytes.find((byte) => !skipped.includes(byte)) === 0x3c) throw htmlError(where);
}

function inputError(name, input) {
  const got = input === undefined ? "nothing" : tag(input);
  return loadError(
    "bad-option",
    name === "init"
      ? `init() needs an address, a Response, bytes or a WebAssembly.Module, and got ${got}`
      : `initSync() needs bytes or a WebAssembly.Module, and got ${got}`,
  );
}

// By tag, not instanceof: objects of another realm (an iframe, a test environment) are as good.
function tag(value) {
  return Object.prototype.toString.call(value);
}

function isModule(value) {
  return tag(value) === "[object WebAssembly.Module]";
}

function isBytes(value) {
  return ArrayBuffer.isView(value) || tag(value) === "[object ArrayBuffer]" || tag(value) === "[object SharedArrayBuffer]";
}
