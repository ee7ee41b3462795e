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

const testing = `
  import { FakeNetwork, type Faults, type ServerRequest, type ServerSocket } from "crsqlite-sync/testing";
  const storm: Faults = { drop: 0.1, lose: 0.1, duplicate: 0.1, reorder: 0.1, delayMs: [5, 50] };
  using network = new FakeNetwork({ seed: 7, faults: storm, closing: "never" }).install();
  network.onSocket = (socket: ServerSocket) => void socket.accept().say({ hello: 1 }).close(4001, "who are you?");
  network.onRequest = (request: ServerRequest) => {
    if (request.path === "/sync/push") request.limit(3);
    else request.respond({ changes: [] }, { headers: { etag: "1" }, bodyDelayMs: 5 });
  };
  const socket: WebSocket = new network.WebSocket("wss://example.test");
  const code: number | undefined = network.socket.closed?.code;
  const frame: Promise<any> = network.nextSocket().then((made) => made.nextFrame());
  export { code, frame, socket };
`;

for (const moduleResolution of ["nodenext", "bundler"]) {
  test(`a strict app compiles with moduleResolution ${moduleResolution}`, () => {
    assert.equal(check(`good-${moduleResolution}`, good, moduleResolution), "");
  });

  test(`a strict app's tests compile with moduleResolution ${moduleResolution}`, () => {
    assert.equal(check(`testing-${moduleResolution}`, testing, moduleResolution), "");
  });
}

test("what only the package makes cannot be made by hand, and a misspelt fault is found", () => {
  assert.match(check("made", 'import { ServerSocket } from "crsqlite-sync/testing"; new ServerSocket();', "bundler"), /TS2673/);
  const typo = 'import { FakeNetwork } from "crsqlite-sync/testing"; new FakeNetwork({ faults: { dropp: 1 } });';
  assert.match(check("typo", typo, "bundler"), /TS2561|TS2353/);
});

test("the slim entry must be given its module", () => {
  const bad = 'import { init } from "crsqlite-sync/slim"; void init();';
  assert.match(check("bad", bad, "bundler"), /error TS2554: Expected 1 arguments, but got 0/);
});
