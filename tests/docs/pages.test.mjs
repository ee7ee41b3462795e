// The pages as a whole: every block has a language that some test here knows, and every link leads somewhere, also from
// the package, where the README is shown without the repository around it.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { test } from "node:test";
import { brotliCompressSync } from "node:zlib";
import { pkg } from "../package/installed.mjs";
import { anchors, blocks, blocksOf, pages, prose, read, root, where } from "./pages.mjs";

/** Language → the test that reads its blocks. `text` is for drawings: there is nothing in them to be tried. */
const RULES = {
  js: "code", jsx: "code", ts: "code", tsx: "code", html: "code", vue: "frameworks", svelte: "frameworks",
  json: "data", toml: "data", sql: "data", sh: "commands", text: "nothing",
};

test("every block of every page is in a language that a test reads", () => {
  assert.ok(blocks.length > 40, `only ${blocks.length} blocks were found`);
  const unknown = blocks.filter(({ language }) => !(language in RULES));
  assert.deepEqual(unknown.map((block) => `${where(block)}: "${block.language}"`), []);
});

test("a block is found with its line, its words and what is given to it", () => {
  const page = "# A\n\n<!-- given\ndeclare const a: 1;\n-->\n```ts file=a.ts\na;\n```\n\n- b\n  ```sh\n  ls\n  ```\n";
  const [first, second] = blocksOf("x", page);
  assert.deepEqual([first.line, first.language, first.file, first.code, first.given], [6, "ts", "a.ts", "a;\n", "declare const a: 1;\n"]);
  assert.deepEqual([second.language, second.code, second.given], ["sh", "ls\n", ""]);
});

test("what is called text is no code", () => {
  for (const block of blocks.filter(({ language }) => language === "text")) {
    assert.doesNotMatch(block.code, /^\s*(\$ |npm |cargo |crsqlite-relay |import |const )/m, where(block));
  }
});

const LINK = /(?<!!)\[[^\]]*\]\((?<to>[^)\s]+)\)/g;
const links = (page) => [...prose(page).matchAll(LINK)].map(({ groups }) => groups.to);

for (const page of pages) {
  test(`every link of ${page} leads to a file and a heading that exist`, () => {
    for (const to of links(page).filter((to) => !/^https?:/.test(to))) {
      const [file, heading] = to.split("#");
      const path = file === "" ? page : normalize(join(dirname(page), file));
      assert.ok(existsSync(join(root, path)), `${page}: ${to}`);
      if (heading !== undefined) assert.ok(anchors(path).has(heading), `${page}: ${to}`);
    }
  });
}

test("every link of the README leads to what the package carries", () => {
  const { files } = JSON.parse(read("pkg.json.template").replaceAll(/\{\{\w+\}\}/g, "0"));
  const patterns = files.map((pattern) => new RegExp(`^${pattern.replaceAll(".", "\\.").replaceAll("*", "[^/]*")}$`));
  const carried = (path) => patterns.some((pattern) => pattern.test(path));
  const outside = links("README.md").filter((to) => !/^(https?:|#)/.test(to)).map((to) => to.split("#")[0]);
  assert.deepEqual(outside.filter((path) => !carried(path)), []);
});

test("the package is no heavier than the README says", () => {
  const [, said] = /Less than (\d+) kB with brotli/.exec(read("README.md"));
  const loaded = ["index.js", "load.js", "error.js", "crsqlite_sync.js", "crsqlite_sync_bg.wasm"];
  const bytes = loaded.map((name) => brotliCompressSync(readFileSync(join(pkg, name))).length).reduce((a, b) => a + b);
  assert.ok(bytes < Number(said) * 1000, `${bytes}`);
});
