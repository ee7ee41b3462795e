// The packed package, installed as a user would, in reach of the apps. Done anew for every other tarball.

import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { here } from "./programs.mjs";

const TARBALL = process.env.CRSQLITE_SYNC_TARBALL ?? fileURLToPath(new URL("../../../target/pack/crsqlite-sync.tgz", import.meta.url));
// npm is a script on Windows, and scripts need a shell there.
const [NPM, shell] = process.platform === "win32" ? ["npm.cmd", true] : ["npm", false];

export async function install() {
  const word = createHash("sha256").update(await readFile(TARBALL)).digest("hex");
  const stamp = here("apps/node_modules/.tarball");
  if ((await readFile(stamp, "utf8").catch(() => "")) === word) return;
  const args = ["install", "--no-save", "--no-package-lock", "--offline", "--no-audit", "--no-fund", TARBALL];
  await promisify(execFile)(NPM, args, { cwd: here("apps"), shell });
  await writeFile(stamp, word);
}
