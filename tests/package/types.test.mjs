// The types, as a strict TypeScript app sees them from every entry.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { app, write } from "./installed.mjs";

const tsc = fileURLToPath(new URL("../node_modules/typescript/bin/tsc", import.meta.url));

function check(name, source, moduleResolution) {
  const path = write(`types/${name}.ts`, source);
  const module = moduleResolution === "nodenext" ? "nodenext" : "esnext";
  const flags = ["--noEmit", "--strict", "--target", "es2022", "--lib", "es2022,dom", "--types", "", "--module", module];
  const args = [tsc, ...flags, "--moduleResolution", moduleResolution, path];
  return spawnSync(process.execPath, args, { cwd: app, encoding: "utf8" }).stdout;
}

const good = `
  import start, { init, initSync } from "crsqlite-sync";
  import { init as initSlim } from "crsqlite-sync/slim";
  import { initSync as initSyncInline } from "crsqlite-sync/inline";
  const done: Promise<void> = init();
  const other: Promise<void> = start(new Uint8Array());
  initSync(new Uint8Array());
  const slim: Promise<void> = initSlim("x.wasm");
  initSyncInline();
  export { done, other, slim };
`;

for (const moduleResolution of ["nodenext", "bundler"]) {
  test(`a strict app compiles with moduleResolution ${moduleResolution}`, () => {
    assert.equal(check(`good-${moduleResolution}`, good, moduleResolution), "");
  });
}

test("the slim entry must be given its module", () => {
  const bad = 'import { init } from "crsqlite-sync/slim"; void init();';
  assert.match(check("bad", bad, "bundler"), /error TS2554: Expected 1 arguments, but got 0/);
});
