// The public surface: nothing of it changes unnoticed, the types resolve in every way that a package is found, and what they
// declare is there.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { checkPackage, createPackageFromTarballData } from "@arethetypeswrong/core";
import { borrow, load, tarball } from "./installed.mjs";
import { crsqliteSync } from "./package.mjs";
import { REPORT, render, undocumented, values } from "./surface.mjs";

const WANTED = `The public surface of the package has changed (etc/crsqlite-sync.api.md).
Not wanted? Then take it back. Wanted? \`cargo xtask api\`, look at the difference, commit it, and tell CHANGELOG.md.
What differs:
`;

const declared = values();

/** The lines that only one of two texts has. */
function difference(before, after) {
  const [old, now] = [before, after].map((text) => text.split("\n"));
  const only = (lines, others, sign) => lines.filter((line) => !others.includes(line)).map((line) => `${sign} ${line.trim()}`);
  return [...only(old, now, "-"), ...only(now, old, "+")].join("\n");
}

test("the public surface is the one that was agreed on", () => {
  const before = existsSync(REPORT) ? readFileSync(REPORT, "utf8") : "";
  const now = render();
  assert.ok(before === now, WANTED + (difference(before, now) || "the order of lines"));
});

test("every value that the types declare is exported, and no other", async () => {
  borrow("react");
  for (const [entry, names] of Object.entries(declared)) {
    assert.deepEqual(Object.keys(await load(entry)).sort(), Object.keys(names).sort(), entry);
  }
});

test("the classes have the members that the types declare, and no other", () => {
  const glue = ["constructor", "free", "__destroy_into_raw"]; // wasm-bindgen's own
  for (const name of ["SyncClient", "WsTransport", "HttpTransport"]) {
    const members = Object.getOwnPropertyNames(crsqliteSync[name].prototype).filter((member) => !glue.includes(member));
    assert.deepEqual(members.sort(), declared["crsqlite-sync"][name], name);
  }
});

test("everything that is exported, each option and each member says what it is", () => {
  assert.deepEqual(undocumented(), []);
});

test("are the types wrong? no, from wherever they are imported", async () => {
  const { problems } = await checkPackage(createPackageFromTarballData(new Uint8Array(readFileSync(tarball))));
  // It is a package of modules: TypeScript lets CommonJS only import() it, though Node can require it.
  const serious = problems.filter(({ kind, resolutionKind }) => kind !== "CJSResolvesToESM" || resolutionKind !== "node16-cjs");
  assert.deepEqual(serious, []);
});
