// The API reference is what the types say now, and says something about everything that they declare.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ENTRIES, PAGE, render } from "./api.mjs";
import { root } from "./pages.mjs";

test("docs/api.md is made from the types as they are (else: cargo xtask api)", () => {
  assert.equal(readFileSync(PAGE, "utf8"), render());
});

test("every name that an entry exports has its heading, and every member its line", () => {
  const page = render();
  for (const [entry, file] of ENTRIES) {
    const types = readFileSync(join(root, file), "utf8");
    const [, part] = page.split(`\n## ${entry}\n`);
    const own = part.split(/^## /m)[0];
    for (const [, name] of types.matchAll(/^export (?:declare )?(?:class|interface|function|type) (\w+)/gm)) {
      assert.ok(own.includes(`#### \`${name}\`\n`), `${entry}: ${name}`);
    }
    // A line that ends in a comma is a parameter.
    for (const [, name] of types.matchAll(/^ {2}(?:readonly )?(\w+)[?(:<](?!.*,$)/gm)) {
      if (name !== "constructor") assert.match(own, new RegExp(`\`${name}\\b`), `${entry}: ${name}`);
    }
  }
});

test("the client comes first, what is called before what it is given, and every chapter is in the contents", () => {
  const page = render();
  const headings = [...page.matchAll(/^#{3,4} `?([^`\n]+)`?$/gm)].map(([, heading]) => heading);
  assert.deepEqual(headings.slice(0, 3), ["Client", "SyncClient", "SyncClientOptions"]);
  assert.ok(headings.indexOf("HttpTransport") < headings.indexOf("WsTransportOptions"));
  for (const [, chapter] of page.matchAll(/^### (.+)$/gm)) assert.ok(page.includes(`\n  - [${chapter}](#`), chapter);
});
