// A folder of a reader's: the package from its tarball, and whatever the tests install beside it. Used by the tests that
// compile blocks and by those that run them; each process has one, which goes with it.
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, symlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { app } from "../package/installed.mjs";
import { root } from "./pages.mjs";

export { app, write } from "../package/installed.mjs";

const theirs = join(root, "tests/node_modules");
const ours = join(app, "node_modules");

/** Makes every package of the tests one of the folder's, by reference. */
export function link() {
  for (const name of readdirSync(theirs).filter((name) => !name.startsWith("."))) {
    const names = name.startsWith("@") ? readdirSync(join(theirs, name)).map((inner) => `${name}/${inner}`) : [name];
    for (const one of names.filter((one) => !existsSync(join(ours, one)))) {
      mkdirSync(dirname(join(ours, one)), { recursive: true });
      symlinkSync(join(theirs, one), join(ours, one), "junction");
    }
  }
}

/** Copies a package and all that it needs, for tools that look where a file really lies. */
export function copy(name) {
  if (existsSync(join(ours, name))) return;
  cpSync(join(theirs, name), join(ours, name), { recursive: true });
  const { dependencies = {} } = JSON.parse(readFileSync(join(theirs, name, "package.json"), "utf8"));
  for (const needed of Object.keys(dependencies)) copy(needed);
}
