// Loading, under Node: what init accepts, what it refuses and how it says so.
import assert from "node:assert/strict";
import { test } from "node:test";
import { readFileSync } from "node:fs";
import { borrow, pkg, run } from "./installed.mjs";

test("importing any entry runs nothing, on a server too: no request, no compilation, no timer, no global", async () => {
  borrow("react");
  const { exports } = JSON.parse(readFileSync(`${pkg}/package.json`, "utf8"));
  const entries = Object.keys(exports).filter((entry) => exports[entry].default?.endsWith(".js"));
  assert.equal(entries.length, 6);
  const seen = await run(`
    await import("react");
    const seen = [];
    globalThis.fetch = () => seen.push("fetch");
    for (const name of ["compile", "compileStreaming", "instantiate", "instantiateStreaming", "Module", "Instance"]) {
      WebAssembly[name] = () => seen.push(name);
    }
    for (const name of ["setTimeout", "setInterval", "queueMicrotask"]) globalThis[name] = () => seen.push(name);
    const before = Reflect.ownKeys(globalThis).length;
    for (const entry of ${JSON.stringify(entries)}) await import(entry.replace(".", "crsqlite-sync"));
    if (Reflect.ownKeys(globalThis).length !== before) seen.push("global");
    print(seen);
  `);
  assert.deepEqual(seen, []);
});

test("whatever is used before init says that it was not initialised", async () => {
  const errors = await run(`
    const { default: _, init, initSync, ...api } = await import("crsqlite-sync");
    const errors = {};
    for (const [name, value] of Object.entries(api)) {
      const isClass = /^class\\b/.test(String(value));
      // A class whose instances only the package makes has no constructor to call.
      if (isClass && !/^\\s*constructor\\(/m.test(String(value))) continue;
      errors[name] = await errorOf(() => (isClass ? new value({}) : value({})));
    }
    print(errors);
  `);
  assert.notDeepEqual(errors, {});
  for (const [name, error] of Object.entries(errors)) {
    assert.equal(error?.code, "not-initialised", name);
    assert.equal(error.name, "SyncError");
    assert.equal(error.retryable, false);
    assert.ok(error.real);
    assert.match(error.message, /await init\(\)/i);
  }
});

test("init finds its file under Node, and is done once however often it is called", async () => {
  const seen = await run(`
    import { init } from "crsqlite-sync";
    let compiled = 0;
    const { compile } = WebAssembly;
    // Node compiles modules of its own.
    WebAssembly.compile = (bytes) => { compiled += bytes.length === wasm().length; return compile(bytes); };
    const first = init();
    const same = first === init();
    const value = await first;
    await init("not-even-an-address");
    print({ same, value: value === undefined, compiled });
  `);
  assert.deepEqual(seen, { same: true, value: true, compiled: 1 });
});

const inputs = {
  "a Buffer": "wasm()",
  "an ArrayBuffer": "new Uint8Array(wasm()).buffer",
  "a compiled module": "new WebAssembly.Module(wasm())",
  "a promise": "Promise.resolve(wasm())",
  "a Response with the wasm type": 'new Response(wasm(), { headers: { "content-type": "application/wasm" } })',
  "a Response with no useful type": 'new Response(wasm(), { headers: { "content-type": "application/octet-stream" } })',
  "a file URL": 'new URL(import.meta.resolve("crsqlite-sync/crsqlite_sync_bg.wasm"))',
  "a data URL": '"data:application/wasm;base64," + wasm().toString("base64")',
};
for (const [what, input] of Object.entries(inputs)) {
  test(`init takes ${what}`, async () => {
    const error = await run(`import { init } from "crsqlite-sync/slim"; print(await errorOf(() => init(${input})));`);
    assert.equal(error, null);
  });
}

test("initSync takes bytes or a module, and the inline entry needs neither", async () => {
  assert.equal(await run(`import { initSync } from "crsqlite-sync"; print(await errorOf(() => initSync(wasm())));`), null);
  const module = "new WebAssembly.Module(wasm())";
  assert.equal(await run(`import { initSync } from "crsqlite-sync"; print(await errorOf(() => initSync(${module})));`), null);
  assert.equal(await run(`import { initSync } from "crsqlite-sync/inline"; print(await errorOf(() => initSync()));`), null);
  assert.equal(await run(`import { init } from "crsqlite-sync/inline"; print(await errorOf(() => init()));`), null);
});

test("the entries share one wasm: what one loaded, all have", async () => {
  const error = await run(`
    import { initSync } from "crsqlite-sync/inline";
    import { init } from "crsqlite-sync/slim";
    initSync();
    print(await errorOf(() => init()));
  `);
  assert.equal(error, null);
});

const page = '"\\ufeff\\n<!doctype html><title>app</title>"';
const refusals = [
  ["a page by its type", `new Response("", { headers: { "content-type": "text/html; charset=utf-8" } })`, "wasm-is-html"],
  ["a page by its first byte", `new Response(${page}, { headers: { "content-type": "text/plain" } })`, "wasm-is-html"],
  ["a page as bytes", `new TextEncoder().encode(${page})`, "wasm-is-html"],
  ["an answer of 404", `new Response("", { status: 404 })`, "http-status"],
  ["an address where nothing listens", `"http://127.0.0.1:9/x.wasm"`, "network"],
  ["bytes that are not wasm", "new Uint8Array([0, 1, 2, 3])", "wasm-invalid"],
  ["nothing, where nothing is carried", "undefined", "bad-option"],
  ["a number", "7", "bad-option"],
];
for (const [what, input, code] of refusals) {
  test(`init refuses ${what}: ${code}`, async () => {
    const error = await run(`import { init } from "crsqlite-sync/slim"; print(await errorOf(() => init(${input})));`);
    assert.equal(error?.code, code);
    assert.ok(error.real);
    assert.equal(error.retryable, code === "network");
  });
}

test("wasm of another version, which wants what the glue has not, is invalid: init and initSync say so", async () => {
  const errors = await run(`
    import { init, initSync } from "crsqlite-sync/slim";
    const text = (word) => [word.length, ...new TextEncoder().encode(word)];
    const type = [1, 4, 1, 0x60, 0, 0];
    const wanted = [1, ...text("./crsqlite_sync_bg.js"), ...text("of_another_version"), 0, 0];
    const other = new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, ...type, 2, wanted.length, ...wanted]);
    print([await errorOf(() => init(other)), await errorOf(() => initSync(other))]);
  `);
  for (const error of errors) {
    assert.equal(error?.code, "wasm-invalid");
    assert.match(error.message, /does not start: .*of_another_version.* of this very version/);
  }
});

test("a policy that an engine asks only when the wasm is to start, is named too", async () => {
  const error = await run(`
    import { init } from "crsqlite-sync/slim";
    // Node starts modules of its own.
    const { instantiate } = WebAssembly;
    WebAssembly.instantiate = async (module, imports) => {
      if (imports["./crsqlite_sync_bg.js"]) throw new EvalError("Refused to create a WebAssembly object");
      return instantiate(module, imports);
    };
    print(await errorOf(() => init(wasm())));
  `);
  assert.equal(error?.code, "wasm-invalid");
  assert.match(error.message, /'wasm-unsafe-eval'/);
});

test("where the wasm is missing, or a page stands in its place, the error names each bundler's cure", async () => {
  for (const input of [`new TextEncoder().encode(${page})`, 'new Response("", { status: 404 })']) {
    const error = await run(`import { init } from "crsqlite-sync"; print(await errorOf(() => init(${input})));`);
    const cures = ["Vite", "optimizeDeps", "webpack", "Next.js", "esbuild", "Rollup", "crsqlite_sync_bg.wasm", "crsqlite-sync/inline"];
    for (const cure of cures) assert.ok(error.message.includes(cure), `${error.code}: ${cure}`);
  }
});

test("after a failure init may be tried again", async () => {
  const errors = await run(`
    import { init } from "crsqlite-sync/slim";
    print([await errorOf(() => init(new Response("", { status: 503 }))), await errorOf(() => init(wasm()))]);
  `);
  assert.deepEqual([errors[0].code, errors[0].retryable, errors[0].status], ["http-status", true, 503]);
  assert.equal(errors[1], null);
});
