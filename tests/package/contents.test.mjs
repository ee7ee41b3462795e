// What is in the tarball, and that its manifest tells the truth.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { test } from "node:test";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import { borrow, pkg } from "./installed.mjs";

const read = (name) => readFileSync(join(pkg, name), "utf8");
// Node refuses to require a module that awaits at its top level.
const canRequire = process.features.require_module === true;
const scripts = readdirSync(pkg).filter((name) => name.endsWith(".js"));

test("the tarball carries the entries, their types, one wasm file and the licenses", () => {
  const files = readdirSync(pkg);
  for (const name of ["index", "slim", "inline", "testing", "live", "react"]) {
    assert.ok(files.includes(`${name}.js`) && files.includes(`${name}.d.ts`), name);
  }
  assert.ok(files.includes("package.json"));
  assert.deepEqual(files.filter((name) => name.endsWith(".wasm")), ["crsqlite_sync_bg.wasm"]);
  assert.ok(files.includes("LICENSE-MIT") && files.includes("LICENSE-APACHE"));
});

test("exactly one file names the wasm by its address, and it is the main entry", () => {
  const naming = scripts.filter((name) => read(name).includes("import.meta.url"));
  assert.deepEqual(naming, ["index.js"]);
  assert.equal(read("index.js").match(/new URL\("\.\/crsqlite_sync_bg\.wasm", import\.meta\.url\)/g)?.length, 1);
});

test("no module waits at its top level, so CommonJS can require it too", { skip: !canRequire && "an old Node" }, () => {
  const require = createRequire(import.meta.url);
  borrow("react");
  for (const name of scripts) assert.doesNotThrow(() => require(join(pkg, name)), name);
});

test("the entries for tests, live queries and React carry no wasm and need nothing that does", () => {
  const imports = (name) => [...read(name).matchAll(/^(?:import|export|}).* from "(.+?)";$/gm)].map((match) => match[1]);
  for (const name of scripts.filter((name) => name.startsWith("testing"))) {
    assert.deepEqual(imports(name).filter((from) => !from.startsWith("./testing-")), [], name);
  }
  assert.deepEqual(imports("error.js"), []);
  assert.deepEqual(imports("live.js"), ["./error.js"]);
  assert.deepEqual(imports("react.js"), ["react", "./live.js"]);
});

test("React is asked for by one entry only, so nobody has to have it", () => {
  const { dependencies, peerDependencies, peerDependenciesMeta } = JSON.parse(read("package.json"));
  assert.equal(dependencies, undefined);
  assert.deepEqual(Object.keys(peerDependencies), ["react"]);
  assert.deepEqual(peerDependenciesMeta, { react: { optional: true } });
  assert.deepEqual(scripts.filter((name) => /from "react"/.test(read(name))), ["react.js"]);
  assert.match(read("react.js"), /^"use client";/, "a server component may import it");
});

test("the inline entry carries the same wasm as the file", async () => {
  const { base64 } = await import(join(pkg, "crsqlite_sync_bg.base64.js"));
  assert.ok(Buffer.from(base64, "base64").equals(readFileSync(join(pkg, "crsqlite_sync_bg.wasm"))));
});

test("nothing in the package can leave a rule out", async () => {
  const wasm = readFileSync(join(pkg, "crsqlite_sync_bg.wasm"));
  const names = WebAssembly.Module.exports(await WebAssembly.compile(wasm)).map(({ name }) => name);
  assert.ok(names.some((name) => name.startsWith("syncclient_")), "the exports have names");
  assert.deepEqual([...scripts, ...names].filter((name) => /leave_?out/i.test(name)), []);
  for (const name of scripts) assert.doesNotMatch(read(name), /leave_?out/i, name);
  const rules = [...readFileSync(new URL("../../src/rules.rs", import.meta.url), "utf8").matchAll(/= "(\w+-[\w-]+)",/g)];
  assert.ok(rules.length > 20);
  assert.deepEqual(rules.map(([, rule]) => rule).filter((rule) => wasm.includes(rule)), []);
});

test("publint has nothing to say about the manifest", async () => {
  const { messages } = await publint({ pkgDir: pkg, level: "suggestion", pack: false });
  const manifest = JSON.parse(read("package.json"));
  assert.deepEqual(messages.map((message) => formatMessage(message, manifest)), []);
});
