// The packed package in a folder of its own, installed as a user would, and pieces of programs run against it there.
import { execFile, execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));
const tarball = process.env.CRSQLITE_SYNC_TARBALL ?? join(root, "target/pack/crsqlite-sync.tgz");

/** What `npm install` leaves on the user's disk. Removed when the process ends. */
export const app = emptyFolder();
writeFileSync(join(app, "package.json"), JSON.stringify({ name: "app", private: true, type: "module" }));
npm(["install", "--no-audit", "--no-fund", "--no-package-lock", "--offline", tarball]);

export const pkg = join(app, "node_modules/crsqlite-sync");

/** Writes a file of the user's app. */
export function write(name, text) {
  const path = join(app, name);
  mkdirSync(join(path, ".."), { recursive: true });
  writeFileSync(path, text);
  return path;
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

function emptyFolder() {
  const below = join(root, "target/package-tests");
  mkdirSync(below, { recursive: true });
  const folder = mkdtempSync(join(below, "app-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function npm(args) {
  // npm is a script on Windows, and scripts need a shell there.
  const [name, shell] = process.platform === "win32" ? ["npm.cmd", true] : ["npm", false];
  execFileSync(name, args, { cwd: app, shell, stdio: ["ignore", "ignore", "inherit"] });
}
