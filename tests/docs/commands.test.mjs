// Every command in a shell block is one that exists: the relay's and cargo xtask's with every flag, asked of the programs
// themselves, and every npm package by a name that the tests install too. Nothing of a block is executed.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { blocksIn, prose, pages, read, root, where } from "./pages.mjs";

const RELAY = process.env.CRSQLITE_RELAY ?? `${root}target/debug/crsqlite-relay`;
// `cargo xtask` as it was called, or as anybody calls it.
const XTASK = process.env.CRSQLITE_XTASK ? [process.env.CRSQLITE_XTASK] : ["cargo", "xtask"];
const known = new Map();
const run = ([program, ...args]) => {
  const key = [program, ...args].join(" ");
  if (!known.has(key)) known.set(key, execFileSync(program, args, { cwd: root, encoding: "utf8", stdio: "pipe" }));
  return known.get(key);
};

/** Words of one line of shell, without comments, quotes and redirections; commands joined by && or | become several. */
function commands(code) {
  const lines = code.replaceAll(/\\\n\s*/g, " ").split("\n").map((line) => line.replace(/(^|\s)#.*$/, "").trim());
  return lines.filter(Boolean).flatMap((line) => line.split(/\s+(?:&&|\|)\s+/)).map((line) => {
    const words = line.match(/"[^"]*"|'[^']*'|\S+/g).map((word) => word.replaceAll(/^["']|["']$/g, ""));
    const first = words.findIndex((word) => !/^[A-Z_]+=/.test(word));
    return { variables: words.slice(0, Math.max(first, 0)), words: words.slice(first) };
  });
}

const all = blocksIn("sh").flatMap((block) => commands(block.code).map((command) => ({ ...command, at: where(block) })));
const flags = (words) => words.filter((word) => /^--?[a-z]/.test(word)).map((word) => word.split("=")[0]);
const says = (help, flag) => new RegExp(`(^|[\\s,])${flag}(?![\\w-])`, "m").test(help);

function asksOf(program, words, at) {
  const top = run([...program, "--help"]);
  const listed = top.split(/^Commands:$/m)[1]?.split(/^\S/m)[0] ?? "";
  const subcommands = [...listed.matchAll(/^ {2}(\w[\w-]*) /gm)].map(([, name]) => name);
  const [first] = words;
  const named = first !== undefined && !first.startsWith("-");
  if (named) assert.ok(subcommands.includes(first), `${at}: ${program.at(-1)} has no ${first}`);
  const help = named ? run([...program, first, "--help"]) : top;
  const called = `${program.at(-1)} ${named ? first : ""}`;
  for (const flag of flags(words)) assert.ok(says(help, flag) || flag === "--help", `${at}: ${called} has no ${flag}`);
}

test("every flag and command of the relay on the pages exists", () => {
  let count = 0;
  for (const { words, at, variables } of all) {
    const behind = words.indexOf("--");
    const viaCargo = words[0] === "cargo" && words[1] === "run" && words.includes("crsqlite-relay") && behind > 0;
    if (words[0] !== "crsqlite-relay" && !viaCargo) continue;
    asksOf([RELAY], words.slice(viaCargo ? behind + 1 : 1), at);
    const help = run([RELAY, "--help"]);
    for (const name of variables.map((word) => word.split("=")[0])) assert.ok(help.includes(`env: ${name}`), `${at}: ${name}`);
    count += 1;
  }
  assert.ok(count > 8, `only ${count}`);
});

test("every task and flag of cargo xtask on the pages exists", () => {
  const tasks = all.filter(({ words }) => words[0] === "cargo" && words[1] === "xtask");
  assert.ok(tasks.length > 5, `only ${tasks.length}`);
  for (const { words, at } of tasks) asksOf(XTASK, words.slice(2), at);
});

test("every other program is one that a reader has, or is told to install", () => {
  const others = new Set(["cargo", "crsqlite-relay", "git", "node", "npm", "npx", "pg_dump", "pg_restore"]);
  for (const { words, at } of all) assert.ok(others.has(words[0]), `${at}: ${words[0]}`);
});

test("every npm package that a reader is told to install is one that the tests install", () => {
  const manifest = JSON.parse(read("tests/package.json"));
  const real = new Set([...Object.keys(manifest.devDependencies), "crsqlite-sync"]);
  const installs = all.filter(({ words }) => words[0] === "npm" && ["install", "i", "uninstall"].includes(words[1]));
  assert.ok(installs.length > 0);
  for (const { words, at } of installs) {
    for (const name of words.slice(2).filter((word) => !word.startsWith("-"))) assert.ok(real.has(name), `${at}: ${name}`);
  }
});

test("every option of the relay that a page names in its text exists", () => {
  const commands = ["token", "config", "ready", "inspect", "backup"].map((name) => run([RELAY, name, "--help"]));
  const helps = [run([RELAY, "--help"]), ...commands].join("\n");
  const relayPages = pages.filter((page) => ["README.md", "server/README.md"].includes(page));
  for (const page of relayPages) {
    const named = [...prose(page).matchAll(/`(--[a-z][a-z-]+)/g)].map(([, flag]) => flag);
    const foreign = ["--open", "--port"]; // of cargo xtask demo
    for (const flag of named.filter((flag) => !foreign.includes(flag))) assert.ok(says(helps, flag), `${page}: ${flag}`);
  }
});

test("the relay's limits have the defaults that its page says", () => {
  const help = run([RELAY, "--help"]);
  const described = help.matchAll(/^ +(?:-\w, )?(--[a-z-]+) <(?:(?!\n\n {6}--)[^])*?\[default: ([^\]]+)\]/gm);
  const defaults = new Map([...described].map(([, option, value]) => [option, value]));
  const [, section] = read("server/README.md").split("\n## Limits\n");
  const rows = [...section.split("\n## ")[0].matchAll(/^\| (`--.*?) \| (.*?) \|/gm)];
  assert.ok(rows.length > 10);
  // As the help spells them: bytes as one number, times in the units of their own.
  const value = ([, number, unit]) => {
    const plain = number.replaceAll(",", "");
    return { KiB: `${plain * 2 ** 10}`, MiB: `${plain * 2 ** 20}`, s: `${plain}s`, min: `${plain}m` }[unit] ?? plain;
  };
  for (const [, options, said] of rows) {
    const named = [...options.matchAll(/`(--[a-z-]+)`/g)].map(([, option]) => option);
    const values = [...said.matchAll(/(\d[\d,]*)(?: (KiB|MiB|s|min)\b)?/g)].map(value);
    for (const [index, option] of named.entries()) assert.equal(values[index], defaults.get(option), option);
  }
});
