// Every block of JavaScript and TypeScript compiles in an app that has installed the package: TypeScript strictly,
// JavaScript as an editor checks it. Blocks that name a file lie beside the others of their page and may import each other.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { app, link, write } from "./project.mjs";
import { blocksIn, read, where } from "./pages.mjs";

const GIVEN = ["preamble.d.ts", "others.d.ts"];
const tsc = fileURLToPath(new URL("../node_modules/typescript/bin/tsc", import.meta.url));

const TYPESCRIPT = ["ts", "tsx"];
const JAVASCRIPT = ["js", "jsx", "html"];
const SETTINGS = {
  noEmit: true,
  skipLibCheck: true,
  target: "es2022",
  lib: ["es2023", "esnext.disposable", "dom", "dom.iterable", "webworker.importscripts"],
  module: "esnext",
  moduleResolution: "bundler",
  allowImportingTsExtensions: true,
  allowJs: true,
  jsx: "react-jsx",
  types: ["vite/client"],
};

/** The modules that stand in a page of HTML. */
const scripts = (html) => [...html.matchAll(/<script type="module">\n?(.*?)<\/script>/gs)].map(([, code]) => code).join("\n");
const slug = (page) => page.replaceAll(/\W/g, "-");

/** Writes blocks as files, and returns file → block. Every one is a module, and line 1 is the block's first. */
function files(blocks) {
  const written = new Map();
  for (const block of blocks) {
    const [code, suffix] = block.language === "html" ? [scripts(block.code), "js"] : [block.code, block.language];
    const html = block.language === "html";
    const file = `blocks/${slug(block.page)}/${(!html && block.file) || `line-${block.line}.${suffix}`}`;
    assert.ok(!written.has(file), `${where(block)}: there is another ${block.file}`);
    write(file, `${code}\nexport {};\n${block.given}`);
    written.set(file, block);
  }
  return written;
}

async function compile(name, blocks, settings) {
  const written = files(blocks);
  const project = { compilerOptions: { ...SETTINGS, ...settings }, files: [...GIVEN, ...written.keys()] };
  const config = write(`tsconfig.${name}.json`, JSON.stringify(project));
  try {
    await promisify(execFile)(process.execPath, [tsc, "--pretty", "false", "--project", config], { cwd: app });
    return "";
  } catch (error) {
    // Said of the page, where the reader of the failure has to look.
    return (error.stdout || error.stderr).replaceAll(/^(\S+?)\((\d+),(\d+)\)/gm, (all, file, line, column) => {
      const block = written.get(file);
      return block ? `${block.page}:${block.line + Number(line)}:${column}` : all;
    });
  }
}

link();
for (const name of GIVEN) write(name, read(`tests/docs/${name}`));
// All of them first, for they import each other across languages.
files(blocksIn(...TYPESCRIPT, ...JAVASCRIPT));

test("every TypeScript block compiles, strictly", async () => {
  const blocks = blocksIn(...TYPESCRIPT);
  assert.ok(blocks.length > 0);
  assert.equal(await compile("strict", blocks, { strict: true, noUncheckedIndexedAccess: true }), "");
});

test("every JavaScript block is free of mistakes that an editor would show", async () => {
  const blocks = blocksIn(...JAVASCRIPT);
  assert.ok(blocks.length > 5);
  assert.equal(await compile("loose", blocks, { checkJs: true, strict: false }), "");
});

test("a block with a mistake is found, and where it is", async () => {
  const [given, code] = ["declare const a: number;\n", "a.toFixed();\nclient.strat();\n"];
  const block = { page: "x.md", line: 10, language: "ts", file: undefined, given, code };
  assert.match(await compile("mistake", [block], { strict: true }), /x\.md:12:8: error TS2551: .*'strat'/);
});
