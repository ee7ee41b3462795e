// Sums the bytes of the named files, as they are and as brotli at its default for static files (the highest quality).
import { readFileSync } from "node:fs";
import { brotliCompressSync, constants } from "node:zlib";

let raw = 0;
let brotli = 0;
for (const name of process.argv.slice(1)) {
  const bytes = readFileSync(name);
  raw += bytes.length;
  brotli += brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }).length;
}
console.log(raw, brotli);
