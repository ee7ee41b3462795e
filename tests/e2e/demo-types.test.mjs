// The demo is an example that people copy: strict TypeScript, against the types of this very package.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

test("the demo is sound in strict TypeScript", () => {
  const tsc = join(dirname(createRequire(import.meta.url).resolve("typescript/package.json")), "bin/tsc");
  const { status, stdout } = spawnSync(process.execPath, [tsc, "-p", fileURLToPath(new URL("../../www", import.meta.url))], { encoding: "utf8" });
  assert.equal(status, 0, stdout);
});
