// Vite's part of the service worker: `src/sw.ts` becomes /sw.js, and learns which files the build has made.

import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

const WORKER = "sw.js";

/** @returns {import("vite").Plugin} */
export function precache() {
  let folder;
  return {
    name: "precache",
    apply: "build",
    configResolved: (config) => void (folder = resolve(config.root, config.build.outDir)),
    // When everything is written, also what lies in public/.
    closeBundle: {
      order: "post",
      handler() {
        const files = readdirSync(folder, { recursive: true, withFileTypes: true })
          .filter((entry) => entry.isFile())
          .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1).replaceAll("\\", "/"))
          .filter((file) => file !== WORKER)
          .sort();
        const hash = createHash("sha256");
        for (const file of files) hash.update(file).update(readFileSync(join(folder, file)));
        const list = JSON.stringify({ version: hash.digest("hex").slice(0, 12), files });
        const worker = readFileSync(join(folder, WORKER), "utf8");
        if (!worker.includes("PRECACHE")) throw new Error(`${WORKER} does not ask for PRECACHE`);
        writeFileSync(join(folder, WORKER), worker.replaceAll("PRECACHE", list));
      },
    },
  };
}
