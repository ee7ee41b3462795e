// Writes a wasm file as a JavaScript module that exports it in base64.
import { readFileSync, writeFileSync } from "node:fs";

const [from, to] = process.argv.slice(1);
writeFileSync(to, `export const base64 = "${readFileSync(from).toString("base64")}";\n`);
