// The packed package in a folder of its own, installed as a user would, and pieces of programs run against it there.
// npm installs it once per tarball; every test file gets a copy, so that none sees what another one writes.
import { execFile, execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));
export const tarball = process.env.CRSQLITE_SYNC_TARBALL ?? join(root, "target/pack/crsqlite-sync.tgz");
const below = join(root, "target/package-tests");

/** What `npm install` leaves on the user's disk. Removed when the process ends. */
export const app = emptyFolder();
process.on("exit", () => rmSync(app, { recursive: true, force: true }));
cpSync(installed(), app, { recursive: true });

export const pkg = join(app, "node_modules/crsqlite-sync");

const resolve = createRequire(join(app, "package.json")).resolve;
/** Imports an entry as the user's app does. */
export const load = (entry) => import(pathToFileURL(resolve(entry)).href);
/** The bytes of the wasm file, from the address that the package exports. */
export const wasm = () => readFileSync(resolve("crsqlite-sync/crsqlite_sync_bg.wasm"));

/** Writes a file of the user's app. */
export function write(name, text) {
  const path = join(app, name);
  mkdirSync(join(path, ".."), { recursive: true });
  writeFileSync(path, text);
  return path;
}

/** Puts a package of the tests into the app, as if the user had installed it, too. */
export function borrow(name) {
  const path = join(app, "node_modules", name);
  mkdirSync(join(path, ".."), { recursive: true });
  if (!existsSync(path)) symlinkSync(fileURLToPath(new URL(`../node_modules/${name}`, import.meta.url)), path, "junction");
}

/** Runs a module in a Node of its own, because the package loads once per page, and returns what it `print`s. */
export function run(code) {
  const prelude = `
    import { readFileSync } from "node:fs";
    const print = (value) => console.log(JSON.stringify(value));
    const errorOf = async (action) => {
      try { await action(); return null; }
      catch (e) { return { name: e.name, code: e.code, retryable: e.retryable, status: e.status, message: e.message, real: e instanceof Error }; }
    };
    const wasm = () => readFileSync("node_modules/crsqlite-sync/crsqlite_sync_bg.wasm");
  `;
  return new Promise((resolve, reject) => {
    const args = ["--input-type=module", "--eval", prelude + code];
    execFile(process.execPath, args, { cwd: app }, (error, stdout, stderr) => {
      if (error) return reject(new Error(`${error.message}\n${stderr}`));
      const lines = stdout.trim().split("\n").filter(Boolean).map((line) => JSON.parse(line));
      resolve(lines.length === 1 ? lines[0] : lines);
    });
  });
}

// Named after the tarball's content, so that no old one is ever taken for it.
function installed() {
  const name = `installed-${createHash("sha256").update(readFileSync(tarball)).digest("hex").slice(0, 16)}`;
  const folder = join(below, name);
  if (existsSync(folder)) return folder;
  const fresh = emptyFolder();
  writeFileSync(join(fresh, "package.json"), JSON.stringify({ name: "app", private: true, type: "module" }));
  npm(["install", "--no-audit", "--no-fund", "--no-package-lock", "--offline", tarball], fresh);
  for (const old of readdirSync(below).filter((other) => other.startsWith("installed-") && other !== name)) {
    rmSync(join(below, old), { recursive: true, force: true });
  }
  try {
    renameSync(fresh, folder);
  } catch {
    // Another test file was quicker.
    rmSync(fresh, { recursive: true, force: true });
  }
  return folder;
}

function emptyFolder() {
  mkdirSync(below, { recursive: true });
  return mkdtempSync(join(below, "app-"));
}

function npm(args, cwd) {
  // npm is a script on Windows, and scripts need a shell there.
  const [name, shell] = process.platform === "win32" ? ["npm.cmd", true] : ["npm", false];
  execFileSync(name, args, { cwd, shell, stdio: ["ignore", "ignore", "inherit"] });
}
