// The types, as a strict TypeScript app sees them: each file of types/ is an app of one entry. It has to compile, and
// every line below a `@ts-expect-error` has to fail, for the newest TypeScript and for the oldest that we promise.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { app, borrow, pkg, write } from "./installed.mjs";

const folder = new URL("types/", import.meta.url);
const files = readdirSync(folder).filter((name) => name.endsWith(".ts"));
const paths = files.map((name) => write(`types/${name}`, readFileSync(new URL(name, folder), "utf8")));

// No library of the disposable symbols and no types of Node: the package brings what it needs.
const STRICT = [
  ..."--noEmit --strict --exactOptionalPropertyTypes --noUncheckedIndexedAccess --isolatedModules".split(" "),
  ..."--target es2022 --lib es2022,dom,dom.iterable --typeRoots none".split(" "),
];

/** What the compiler of that folder has to say. */
async function compile(typescript, module, moduleResolution, ...paths) {
  const tsc = fileURLToPath(new URL(`../node_modules/${typescript}/bin/tsc`, import.meta.url));
  const args = [tsc, ...STRICT, "--module", module, "--moduleResolution", moduleResolution, ...paths];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: app }).catch((failed) => failed);
  return stdout;
}

// How 5.2 and others find the entries in every other way, surface.test.mjs asks.
const compilers = [["typescript", "nodenext"], ["typescript", "bundler"], ["typescript-5", "bundler"]];
describe("a strict app of every entry compiles", { concurrency: true }, () => {
  for (const [typescript, resolution] of compilers) {
    test(`with ${typescript === "typescript" ? "the newest TypeScript" : "TypeScript 5.2"}, moduleResolution ${resolution}`, async () => {
      assert.equal(await compile(typescript, resolution === "bundler" ? "esnext" : resolution, resolution, ...paths), "");
    });
  }
});

test("every entry that has types has an app here", () => {
  const { exports } = JSON.parse(readFileSync(`${pkg}/package.json`, "utf8"));
  const entries = Object.keys(exports).filter((entry) => exports[entry].types !== undefined);
  assert.deepEqual(files.sort(), entries.map((entry) => (entry === "." ? "main.ts" : `${entry.slice(2)}.ts`)).sort());
});

test("a database of crsqlite-wasm is taken as it is, by the client and by the hooks", async () => {
  borrow("@vlcn.io/crsqlite-wasm");
  const path = write("wrapper.ts", `
    import type { DB } from "@vlcn.io/crsqlite-wasm";
    import { SyncClient, type SyncTransport } from "crsqlite-sync";
    import { useQuery } from "crsqlite-sync/react";
    export const client = (db: DB, transport: SyncTransport) => new SyncClient({ db, transport });
    export const rows = (db: DB) => useQuery(db, null, "SELECT 1").data;
  `);
  // Its own declarations do not compile everywhere; ours still have to fit them.
  assert.equal(await compile("typescript", "esnext", "bundler", "--skipLibCheck", path), "");
});

test("the compiler looks: what is wrong without a word of warning is an error", async () => {
  const path = write("wrong.ts", 'import { WsTransport } from "crsqlite-sync"; new WsTransport({});');
  assert.match(await compile("typescript", "esnext", "bundler", path), /error TS2345: .*'WsTransportOptions'/);
});
