// Every code that an error of the package can carry stands in docs/errors.md, with what to do about it, and is provoked by a
// test. This file names that test, and looks whether it still asserts the code.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { pkg } from "./installed.mjs";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** Code → the file and the beginning of the test (or of the table of cases) that provokes it. */
const PROVOKED = {
  "not-initialised": ["tests/package/load.test.mjs", "whatever is used before init"],
  "wasm-is-html": ["tests/package/load.test.mjs", "const refusals"],
  "wasm-invalid": ["tests/package/load.test.mjs", "const refusals"],
  "http-status": ["tests/package/load.test.mjs", "const refusals"],
  network: ["tests/package/load.test.mjs", "const refusals"],
  "bad-option": ["tests/package/ws-connecting.test.mjs", "the constructor refuses options"],
  stopped: ["tests/node/client.test.mjs", "waiting ends with an error when the client stops"],
  aborted: ["tests/package/both-transports.test.mjs", "gives a reason of its own"],
  "not-storing": ["tests/node/client.test.mjs", "a relay that only forwards"],
  "account-changed": ["tests/node/errors.test.mjs", "another account's log behind the same remote"],
  "cloned-database": ["tests/node/errors.test.mjs", "two live copies of a database"],
  "not-leading": ["tests/node/client.test.mjs", "of two clients that do not take turns"],
  "database-busy": ["tests/node/errors.test.mjs", "the lists cannot be read while the app holds"],
  "database-failed": ["tests/node/errors.test.mjs", "a database that takes no writes for a while"],
  "database-closed": ["tests/node/errors.test.mjs", "a database that is closed under a running client"],
  "storage-full": ["tests/node/errors.test.mjs", "a full storage halts the client"],
  "orphan-clock-table": ["tests/node/errors.test.mjs", "a table that was dropped without its clocks"],
  "malformed-message": ["tests/package/ws-requests.test.mjs", "frames that nobody can read"],
  "unsupported-version": ["tests/node/errors.test.mjs", "a message that nobody can read is told"],
  "inbox-overflow": ["tests/package/ws-listeners.test.mjs", "pushes that come before the first listener"],
  "outbox-overflow": ["tests/package/ws-health.test.mjs", "whose uplink is stuck takes nothing more"],
  "remote-reset": ["tests/node/push-pull.test.mjs", "a server that has started over is noticed"],
  "replicas-differed": ["tests/node/digest.test.mjs", "a value that was changed behind"],
  "peer-error": ["tests/node/push-pull.test.mjs", "an explicit error puts a row aside"],
  "not-connected": ["tests/package/ws-requests.test.mjs", "requests are refused while"],
  disconnected: ["tests/package/ws-requests.test.mjs", "all that waits is rejected"],
  "connect-failed": ["tests/package/ws-connecting.test.mjs", "connect rejects when the socket fails"],
  "connect-timeout": ["tests/package/ws-connecting.test.mjs", "connect rejects when the handshake"],
  "request-timeout": ["tests/package/ws-requests.test.mjs", "a request without an answer"],
  "invalid-response": ["tests/package/ws-requests.test.mjs", "an answer of the wrong type"],
  "server-error": ["tests/package/ws-requests.test.mjs", "an error frame rejects"],
  "rate-limited": ["tests/package/http-transport.test.mjs", "a rate limit says so"],
  "needs-auth": ["tests/package/http-transport.test.mjs", "a 401 without anybody to ask"],
  "gave-up": ["tests/package/ws-requests.test.mjs", "requests are refused while"],
  "listener-threw": ["tests/package/ws-listeners.test.mjs", "a listener that throws stops neither"],
};

const union = readFileSync(join(pkg, "index.d.ts"), "utf8").match(/export type ErrorCode =([^;]+);/)?.[1] ?? "";
const codes = [...union.matchAll(/"([^"]+)"/g)].map((match) => match[1]);
const page = readFileSync(join(pkg, "docs/errors.md"), "utf8");

/** From the line that has these words to the line that closes what it opens. */
function passage(file, words) {
  const lines = readFileSync(join(root, file), "utf8").split("\n");
  const first = lines.findIndex((line) => line.includes(words) && !/^\s*\/\//.test(line));
  if (first < 0) return undefined;
  const indent = lines[first].match(/^ */)[0];
  const length = lines.slice(first).findIndex((line) => line.startsWith(`${indent}}`));
  return lines.slice(first, first + length + 1).join("\n");
}

/** What stands in one of the lists only, or twice. */
const difference = (a, b) => [...new Set([...a, ...b])]
  .filter((code) => [a, b].some((list) => list.filter((other) => other === code).length !== 1));

test("the types name the codes", () => assert.ok(codes.length > 20 && codes.includes("gave-up")));

test("docs/errors.md says what to do about every code, and knows no other", () => {
  const rows = page.slice(page.indexOf("## Codes")).split("\n## ")[0].split("\n").filter((line) => line.startsWith("| `"));
  const described = rows.flatMap((row) => [...row.split("|")[1].matchAll(/`([^`]+)`/g)].map((match) => match[1]));
  assert.deepEqual(difference(described, codes), []);
});

test("every code is provoked", () => assert.deepEqual(difference(Object.keys(PROVOKED), codes), []));

const sources = readdirSync(join(root, "src"), { recursive: true })
  .filter((file) => /\.(rs|js)$/.test(file))
  .map((file) => readFileSync(join(root, "src", file), "utf8"));
const inSources = (pattern) => sources.flatMap((text) => [...text.matchAll(pattern)].map((match) => match[1]));

test("no error is made with a code that the types do not name", () => {
  const made = [
    ...inSources(/(?:SyncError::new|Problem::fatal|Problem::passing|loadError)\(\s*"([^"]*)"/g),
    ...inSources(/(?:StoreError|WireError|ConnectError)::[^=\n]* => "([^"]*)"/g),
  ];
  assert.ok(made.length > 40);
  assert.deepEqual(made.filter((code) => !codes.includes(code)), []);
});

test("docs/errors.md and PROTOCOL list every code of a row that is kept aside, and no other", () => {
  const rows = inSources(/RowCode::\w+ => "([^"]+)"/g);
  assert.equal(rows.length, 11);
  const words = (text) => new Set([...text.matchAll(/`([a-z]+(?:-[a-z]+)*)`/g)].map((match) => match[1]));
  const listed = words(page.slice(page.indexOf("\n- here:")).split("\n## ")[0]);
  assert.deepEqual([...listed].sort(), rows.toSorted());
  const protocol = readFileSync(join(pkg, "PROTOCOL.md"), "utf8");
  const given = words(protocol.slice(protocol.indexOf("## 3. Rows")).split("\n### ")[0]);
  assert.deepEqual(rows.filter((code) => !given.has(code)), []);
});

describe("a test provokes", () => {
  for (const [code, [file, words]] of Object.entries(PROVOKED)) {
    test(code, () => {
      const text = passage(file, words);
      assert.ok(text, `${file} has no test "${words} …"`);
      assert.ok(text.includes(`"${code}"`) && text.includes("assert"), `"${words} …" in ${file} does not assert "${code}"`);
    });
  }
});
